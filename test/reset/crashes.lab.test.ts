// The executor of a real guest, killed at each line of its journal and around each of its effects, and again while what it
// left behind is taken up. Expected each time: one end, by what is found; one effect at most; and no password lost.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findVncService } from '../lab/services.ts';
import type { Strike } from '../lab/strike.ts';
import { unavailable } from '../requirements.ts';
import { type Outcome, StruckGuest } from './struck.ts';

const journal = (text: string, when: 'before' | 'during' | 'after'): Strike => ({ at: 'journal', text, when });
const state = (name: string, when: 'before' | 'during' | 'after') => journal(`"state":"${name}"`, when);
const ACCEPTED = '"kind":"accepted"';
const BEGUN = '"kind":"begin"';

const UNTOUCHED = 'INTERRUPTED INTERRUPTED';
const HALFWAY = 'PARTIAL INTERRUPTED';
const WHOLE = 'DONE null';

/** 54: the end must say what the machine says, whatever died when. */
function expectTruth({ end, receipts, changed, collected, effects, reboots }: Outcome): void {
  expect(effects).toBeLessThanOrEqual(1);
  if (changed) {
    expect(['DONE', 'PARTIAL']).toContain(end.split(' ')[0]);
    expect(collected).toBe(true);
  } else expect(['nothing', UNTOUCHED]).toContain(end);
  const { verified, boot_before, boot_after } = receipts.at(-1)?.detail ?? {};
  expect(verified?.reboot ?? false).toBe(end === WHOLE);
  expect(reboots).toBe(end === WHOLE ? 1 : 0);
  if (end === WHOLE) expect(boot_before).not.toBe(boot_after);
}

describe('an executor of an account’s reset, killed', () => {
  let struck: StruckGuest;
  beforeAll(async () => {
    struck = await StruckGuest.boot('killed');
  });
  afterAll(() => struck?.destroy());

  it.each<[string, Strike, string]>([
    ['before the acceptance is written', journal(ACCEPTED, 'before'), 'nothing'],
    ['while the acceptance is written', journal(ACCEPTED, 'during'), 'nothing'],
    ['after the acceptance', journal(ACCEPTED, 'after'), UNTOUCHED],
    ['before the sealed password is written', state('SECRET_READY', 'before'), UNTOUCHED],
    ['after the sealed password is written', state('SECRET_READY', 'after'), UNTOUCHED],
    ['while the beginning is written', journal(BEGUN, 'during'), UNTOUCHED],
    ['after the beginning is written', journal(BEGUN, 'after'), UNTOUCHED],
    ['after the password was typed once', { at: 'terminal', text: '1', when: 'after' }, UNTOUCHED],
    ['before what passwd did is synced', { at: 'open', text: '/etc/shadow', when: 'before' }, HALFWAY],
    ['while the checker works', { at: 'program', text: 'nonull', when: 'before' }, HALFWAY],
    ['before the outcome is written', state('PASSWORD_SET', 'before'), HALFWAY],
    ['while the outcome is written', state('PASSWORD_SET', 'during'), HALFWAY],
    ['after the outcome is written', state('PASSWORD_SET', 'after'), WHOLE],
    ['before REBOOTING is written', state('REBOOTING', 'before'), WHOLE],
    ['after REBOOTING is written', state('REBOOTING', 'after'), WHOLE],
    ['before the reboot is asked for', { at: 'program', text: '/sbin/reboot', when: 'before' }, WHOLE],
    ['after the reboot was asked for', { at: 'program', text: '/sbin/reboot', when: 'after' }, WHOLE],
    ['before BOOTED is written', state('BOOTED', 'before'), WHOLE],
    ['after BOOTED is written', state('BOOTED', 'after'), WHOLE],
    ['before the end is written', state('DONE', 'before'), WHOLE],
    ['after the end is written', state('DONE', 'after'), WHOLE],
  ])('%s', async (_, strike, end) => {
    const outcome = await struck.play('account', [strike], end !== 'nothing');
    expectTruth(outcome);
    expect(outcome.end).toBe(end);
    // A machine that goes down may be faster than the blow.
    if (strike.at !== 'program' || strike.when !== 'after') expect(outcome.left).toBe(0);
    expect(await struck.remembered(outcome.op)).toBe(end !== 'nothing');
  });

  it('after the password was typed twice: the end says what passwd made of it', async () => {
    const outcome = await struck.play('account', [{ at: 'terminal', text: '2', when: 'after' }]);
    expectTruth(outcome);
    expect(outcome.left).toBe(0);
  });

  it.each<[string, readonly Strike[], string]>([
    [
      'before the outcome, and again before the end',
      [state('PASSWORD_SET', 'before'), state('PARTIAL', 'before')],
      HALFWAY,
    ],
    [
      'before the outcome, and again after the end',
      [state('PASSWORD_SET', 'before'), state('PARTIAL', 'after')],
      HALFWAY,
    ],
    ['at REBOOTING, and again at BOOTED', [state('REBOOTING', 'after'), state('BOOTED', 'during')], WHOLE],
  ])('%s', async (_, strikes, end) => {
    const outcome = await struck.play('account', strikes);
    expectTruth(outcome);
    expect([outcome.end, outcome.left]).toEqual([end, 0]);
  });
});

describe('an executor of a VNC reset, killed', () => {
  let struck: StruckGuest | undefined;
  beforeAll(async () => {
    if (findVncService()) struck = await StruckGuest.boot('killed-vnc', { vnc: true });
  });
  afterAll(() => struck?.destroy());

  it.each<[string, Strike, string]>([
    ['before the credential is written', { at: 'program', text: 'write-as-owner', when: 'before' }, UNTOUCHED],
    ['after the credential is written', { at: 'program', text: 'write-as-owner', when: 'after' }, HALFWAY],
    ['before the outcome is written', state('VNC_SET', 'before'), HALFWAY],
    ['after the outcome is written', state('VNC_SET', 'after'), WHOLE],
  ])('%s', async (context, strike, end) => {
    if (!struck) return unavailable(context as never, 'Xvnc', 'apt-get install tigervnc-standalone-server');
    const outcome = await struck.play('vnc', [strike]);
    expectTruth(outcome);
    expect([outcome.end, outcome.left]).toEqual([end, 0]);
  });
});
