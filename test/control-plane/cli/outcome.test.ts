// How an end reads: its reason in words, and nothing where there is none.

import { expect, test } from 'vitest';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import { doneJson, endingLines } from '../../../control-plane/cli/view/outcome.ts';
import { codes } from '../../../protocol/codes.ts';
import { reasonOf, reasonWords, vncReasonWords } from '../../../protocol/reasons.ts';
import { vncStates } from '../../../protocol/receipt.ts';
import { defaultScript, operationOf } from './scripted-machine.ts';

function ended(
  state: 'FAILED' | 'DONE' | 'REFUSED' | 'PARTIAL',
  code: string | null,
  detail: Record<string, unknown>,
): OperationView {
  const asked = { vm: 'web-1', account: { mode: 'generated' as const }, reboot: { grace_s: 0 } };
  const receipts = [{ n: 1, state, code, at: '2026-11-01T00:00:00Z', detail }];
  return { ...operationOf(defaultScript(), asked, null), state, code, receipts };
}

const wordsOf = (view: OperationView) => endingLines(view).filter((line) => line.includes('Reason:'));

test.each(reasonWords)('a failure with the reason %s says it in words, and what to do', (reason) => {
  const lines = endingLines(ended('FAILED', 'PASSWD_FAILED', { reason }));
  const [line = '', ...more] = lines.filter((text) => text.includes('Reason:'));
  expect(more).toEqual([]);
  expect(line).toMatch(/^ {2}Reason: .{20,}\.$/);
  // The code's hint, or a nearer one; never both.
  expect(lines.join(' ').includes(codes.PASSWD_FAILED.hint)).toBe(reasonOf(reason, null)?.hint === undefined);
});

test('what a reason is about is said with it', () => {
  const [line] = wordsOf(ended('REFUSED', 'ENV_REFUSED', { reason: 'kernel_argument:rd.break' }));
  expect(line).toMatch(/^ {2}Reason: a kernel argument .*: rd\.break\. Boot without it; .*\.$/);
});

test('a reason of a newer agent is shown as it is, without control characters', () => {
  expect(wordsOf(ended('FAILED', 'PASSWD_FAILED', { reason: 'moon\u001b[2J' }))).toEqual(['  Reason: moon\ufffd[2J.']);
});

test('a name that every object has is no reason of ours', () => {
  expect(wordsOf(ended('FAILED', 'PASSWD_FAILED', { reason: 'constructor' }))).toEqual(['  Reason: constructor.']);
});

test('no reason, or one that is no text, says nothing', () => {
  expect(wordsOf(ended('FAILED', 'PASSWD_FAILED', {}))).toEqual([]);
  expect(wordsOf(ended('FAILED', 'PASSWD_FAILED', { reason: 7 }))).toEqual([]);
  expect(wordsOf(ended('DONE', null, { reason: 'policy' }))).toEqual([]);
});

test.each(vncStates)('where the VNC secret stands is said in words: %s', (state) => {
  const lines = endingLines({ ...ended('PARTIAL', 'VNC_UNVERIFIED', {}), vnc_state: state });
  expect(lines.filter((line) => /^ {2}VNC password: .{20,}\.$/.test(line))).toHaveLength(1);
  expect(doneJson({ ...ended('DONE', null, {}), vnc_state: state }, 'done')).toMatchObject({ vncState: state });
});

test('nothing is said of a VNC secret that was not touched', () => {
  expect(endingLines(ended('DONE', null, {})).join('')).not.toContain('VNC');
  expect(doneJson(ended('DONE', null, {}), 'done')).toMatchObject({ vncState: null });
});

test.each(vncReasonWords)('beside a code about VNC the reason %s says it in words', (reason) => {
  expect(wordsOf(ended('PARTIAL', 'VNC_UNVERIFIED', { reason })).join()).toMatch(/^ {2}Reason: .{20,}\.$/);
});

test('a word that two kinds of failures share is said as each means it', () => {
  const said = (code: string) => wordsOf(ended('FAILED', code, { reason: 'timeout' })).join();
  expect(said('VNC_UNVERIFIED')).toContain('server');
  expect(said('PASSWD_FAILED')).toContain('program');
});
