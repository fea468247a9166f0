// What time alone does to an operation.

import { describe, expect, test } from 'vitest';
import {
  DRAFT_TTL_MS,
  due,
  OVERDUE_MS,
  readyEndsAt,
  SILENT_MS,
  UNANSWERED_MS,
} from '../../../control-plane/core/due.ts';
import { approvedOf, draftOf, sentOf, shaOf, T0 } from './samples.ts';

const away = { online: false, synced: false, again: false };
const here = { online: true, synced: true, again: false };
const ready = { token: 'r', at: T0 };
const chain = { n: 1, sha256: shaOf(1), at: T0 };
const afterCommand = T0 + 120_000 + UNANSWERED_MS + 1;

describe('a draft', () => {
  test('that nobody proves ends as EXPIRED with PROOF_MISSING, and not a moment before its time', () => {
    expect(due(draftOf(), here, T0 + DRAFT_TTL_MS)).toBeNull();
    expect(due(draftOf(), here, T0 + DRAFT_TTL_MS + 1)).toEqual({ t: 'end', state: 'EXPIRED', code: 'PROOF_MISSING' });
  });

  test('that one of two people proved has as long as its intent lives, or as what was sealed can be opened', () => {
    const intent = { bytes: 'e30', hash: shaOf(1), notAfterS: T0 / 1000 + 3_600, sealed: null, sealedFor: null };
    const waiting = draftOf({ intent, provenAt: T0 });
    const over = { t: 'end', state: 'EXPIRED', code: 'PROOF_MISSING' };
    expect(due(waiting, here, T0 + 3_600_000)).toBeNull();
    expect(due(waiting, here, T0 + 3_600_001)).toEqual(over);
    expect(due(draftOf({ intent: { ...intent, sealedFor: 'gone' }, provenAt: T0 }), here, T0 + 1)).toEqual(over);
  });

  test('loses its ready before the executor gives up', () => {
    const prepared = draftOf({ state: 'PREPARED', ready });
    expect(due(prepared, here, readyEndsAt(T0))).toBeNull();
    expect(due(prepared, here, readyEndsAt(T0) + 1)).toEqual({ t: 'unready' });
  });
});

describe('an approved operation', () => {
  const past = T0 + 900_001;

  test('whose machine never came ends with AGENT_OFFLINE', () => {
    expect(due(approvedOf(), away, T0 + 900_000)).toBeNull();
    expect(due(approvedOf(), away, past)).toEqual({ t: 'end', state: 'EXPIRED', code: 'AGENT_OFFLINE' });
  });

  test('whose machine was there and never ready ends with the reason that it gave', () => {
    expect(due(approvedOf({ reason: 'BUSY' }), here, past)).toMatchObject({ code: 'BUSY' });
    expect(due(approvedOf(), here, past)).toMatchObject({ code: 'EXPIRED' });
    expect(due(approvedOf(), { ...here, synced: false }, past)).toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
  });

  test('with a typed password ends when the executor that could open it is gone', () => {
    const intent = { bytes: 'e30', hash: 'h', notAfterS: T0 / 1000 + 900, sealed: { account: 's' }, sealedFor: 'r' };
    expect(due(approvedOf({ state: 'PREPARED', ready, intent }), here, T0)).toBeNull();
    expect(due(approvedOf({ intent }), here, T0)).toMatchObject({ state: 'EXPIRED', code: 'READY_EXPIRED' });
    const another = { token: 'r2', at: T0 };
    expect(due(approvedOf({ state: 'PREPARED', ready: another, intent }), here, T0)).toMatchObject({
      code: 'READY_EXPIRED',
    });
  });
});

describe('an operation whose command was sent', () => {
  test('and not answered ends once the machine is there and has said all it had', () => {
    expect(due(sentOf(), here, afterCommand - 1)).toBeNull();
    expect(due(sentOf(), here, afterCommand)).toMatchObject({ state: 'EXPIRED', code: 'EXPIRED' });
    expect(due(sentOf(), { ...here, synced: false }, afterCommand)).toBeNull();
    expect(due(sentOf(), away, afterCommand)).toBeNull();
  });

  test('is not given up while it is given a new command', () => {
    expect(due(sentOf(), { ...here, again: true }, afterCommand)).toBeNull();
    expect(due(sentOf(), { ...here, again: true }, T0 + 900_001)).toMatchObject({ state: 'EXPIRED' });
  });

  test('to a machine that is never heard of again ends with AGENT_SILENT', () => {
    expect(due(sentOf(), away, T0 + SILENT_MS + 1)).toMatchObject({ code: 'AGENT_SILENT' });
  });
});

describe('an operation that the agent holds', () => {
  test('is overdue ten minutes into its reboot, once, and stays where it is', () => {
    const rebooting = sentOf({ state: 'REBOOTING', chain });
    expect(due(rebooting, away, T0 + OVERDUE_MS)).toBeNull();
    expect(due(rebooting, away, T0 + OVERDUE_MS + 1)).toEqual({ t: 'overdue' });
    expect(due({ ...rebooting, overdue: true }, away, T0 + OVERDUE_MS + 2)).toBeNull();
  });

  test('and of which nothing is heard for a day ends with a presumption', () => {
    const late = T0 + SILENT_MS + 1;
    expect(due(sentOf({ state: 'PASSWORD_SET', chain }), away, late)).toMatchObject({
      state: 'EXPIRED',
      code: 'AGENT_SILENT',
    });
    expect(due(sentOf({ state: 'REBOOTING', chain, overdue: true }), away, late)).toMatchObject({
      code: 'REBOOT_TIMEOUT',
    });
  });

  test('is not silent while its grace period lasts', () => {
    const graceUntil = T0 + SILENT_MS;
    const waiting = sentOf({ state: 'WAITING', chain, graceUntil });
    expect(due(waiting, away, T0 + SILENT_MS + 1)).toBeNull();
    expect(due(waiting, away, graceUntil + SILENT_MS + 1)).toMatchObject({ code: 'AGENT_SILENT' });
  });
});

describe('an ended operation', () => {
  test('keeps a secret that nobody collects for a day past its intent, then says so', () => {
    const done = sentOf({ state: 'DONE', chain, sealed: { account: 's' } });
    const until = T0 + 900_000 + 86_400_000;
    expect(due(done, away, until)).toBeNull();
    expect(due(done, away, until + 1)).toEqual({ t: 'uncollected' });
    expect(due({ ...done, sealed: null }, away, until + 1)).toBeNull();
  });

  test('keeps a secret that a machine brought weeks late for a day from then on', () => {
    const endedAt = T0 + 30 * 86_400_000;
    const done = sentOf({ state: 'DONE', chain, sealed: { account: 's' }, endedAt });
    expect(due(done, away, endedAt + 86_400_000)).toBeNull();
    expect(due(done, away, endedAt + 86_400_001)).toEqual({ t: 'uncollected' });
  });
});
