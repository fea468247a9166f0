// How an end reads: its reason in words, and nothing where there is none.

import { expect, test } from 'vitest';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import { endingLines } from '../../../control-plane/cli/view/outcome.ts';
import { defaultScript, operationOf } from './scripted-machine.ts';

function ended(state: 'FAILED' | 'DONE', code: string | null, detail: Record<string, unknown>): OperationView {
  const asked = { vm: 'web-1', account: { mode: 'generated' as const }, reboot: { grace_s: 0 } };
  const receipts = [{ n: 1, state, code, at: '2026-11-01T00:00:00Z', detail }];
  return { ...operationOf(defaultScript(), asked, null), state, code, receipts };
}

const reasonOf = (view: OperationView) => endingLines(view).filter((line) => line.includes('Reason:'));

test.each([
  'policy',
  'history',
  'lock',
  'readonly',
  'full',
  'missing',
  'no_account',
  'permission',
  'timeout',
  'asks_current',
  'echoed',
  'token',
  'unknown',
])('a failure with the reason %s says it in words', (reason) => {
  const [line = '', ...more] = reasonOf(ended('FAILED', 'PASSWD_FAILED', { reason }));
  expect(more).toEqual([]);
  expect(line).toMatch(/^ {2}Reason: .{20,}\.$/);
});

test('a reason of a newer agent is shown as it is, without control characters', () => {
  expect(reasonOf(ended('FAILED', 'PASSWD_FAILED', { reason: 'moon\u001b[2J' }))).toEqual(['  Reason: moon\ufffd[2J.']);
});

test('a name that every object has is no reason of ours', () => {
  expect(reasonOf(ended('FAILED', 'PASSWD_FAILED', { reason: 'constructor' }))).toEqual(['  Reason: constructor.']);
});

test('no reason, or one that is no text, says nothing', () => {
  expect(reasonOf(ended('FAILED', 'PASSWD_FAILED', {}))).toEqual([]);
  expect(reasonOf(ended('FAILED', 'PASSWD_FAILED', { reason: 7 }))).toEqual([]);
  expect(reasonOf(ended('DONE', null, { reason: 'policy' }))).toEqual([]);
});
