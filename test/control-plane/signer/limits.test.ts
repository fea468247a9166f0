// What the signer does only so often, whoever asks: over its own sockets, counted in its own ledger.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits, type Use } from '../../../control-plane/signer/limits.ts';
import { newId } from '../../../protocol/schema.ts';
import { Desk, kernel, refusal } from './desk.ts';

let desk: Desk;
beforeEach(async () => {
  desk = await Desk.open();
});
afterEach(() => desk.end());

/** As if that had been done so often just now. */
function used(use: Use, subject: string, count: number): void {
  const at = Math.floor(desk.nowMs / 1000);
  desk.ledger.transaction(() => {
    for (let n = 0; n < count; n += 1) desk.ledger.run('INSERT INTO uses VALUES (?, ?, ?)', use, subject, at);
  });
}

const limited = async (asked: Promise<unknown>) => expect(await refusal(asked)).toBe('RATE_LIMITED');

describe('proposals', () => {
  test('of one operator are limited in ten minutes, across restarts, and nothing is written for those too many', async () => {
    used('proposal', 'ada', limits.proposal.each - 1);
    expect(await refusal(desk.build())).toBeNull();
    await limited(desk.build());
    await desk.stop();
    await desk.start();
    await limited(desk.build());
    await limited(desk.ask('release.build', { project: 'default', agent: newId('agt', kernel), operator: 'ada' }));
    expect(desk.audit('intent.built')).toHaveLength(1);
    expect(desk.audit('release.built')).toEqual([]);
    expect(await refusal(desk.build('bob'))).toBeNull();
    desk.nowMs += 600_000;
    expect(await refusal(desk.build())).toBeNull();
    expect(desk.ledger.rows('SELECT * FROM uses')).toHaveLength(1);
  });

  test('in the names of operators that somebody makes up are limited together', async () => {
    for (let n = 0; n < 5; n += 1) used('proposal', `made-up-${n}`, limits.proposal.all / 5);
    await limited(desk.build('another'));
  });

  test('before a clock was put back keep nobody waiting', async () => {
    used('proposal', 'ada', limits.proposal.each);
    desk.nowMs -= 86_400_000;
    expect(await refusal(desk.build())).toBeNull();
  });
});

describe('signatures', () => {
  test('for one machine, and for all of them together, are limited in ten minutes', async () => {
    const key = await desk.key();
    const built = await desk.build();
    await desk.prove(built, await key(built.intent_hash));
    for (let n = 0; n < 10; n += 1) used('signature', `agt_${n}`, limits.signature.all / 10);
    await limited(desk.mint(built));
    expect(desk.audit('command.signed')).toEqual([]);
    desk.nowMs += 600_000;
    expect(await refusal(desk.mint(built))).toBeNull();
    const { subject } = desk.ledger.rows<{ subject: string }>('SELECT subject FROM uses')[0] ?? { subject: '' };
    used('signature', subject, limits.signature.each);
    await limited(desk.mint(built));
  });

  test('of cancels for one operation are limited', async () => {
    const key = await desk.key();
    const built = await desk.build();
    await desk.prove(built, await key(built.intent_hash));
    await desk.mint(built);
    const cancel = () => desk.ask('cancel.mint', { op: built.op, operator: 'ada' });
    for (let n = 0; n < limits.cancel.each; n += 1) await cancel();
    await limited(cancel());
    expect(desk.audit('cancel.signed')).toHaveLength(limits.cancel.each);
  });
});

test('methods that are not allowed fill no audit: what was refused too often is refused without a row', async () => {
  const totp = await desk.totp();
  await desk.admin('policy.set', { methods: ['passkey'] });
  const built = await desk.build();
  for (let n = 0; n < limits.refusal.each; n += 1) {
    expect(await refusal(desk.prove(built, totp()))).toBe('FACTOR_NOT_ALLOWED');
  }
  for (let n = 0; n < 5; n += 1) await limited(desk.prove(built, totp()));
  expect(desk.audit('factor.not_allowed')).toHaveLength(limits.refusal.each);
});

test('refusals that are too many for the audit are left out, and one row says so', async () => {
  const ask = () =>
    desk.ask('intent.prove', {
      op: newId('op', kernel),
      intent_hash: 'A'.repeat(43),
      operator: 'ada',
      proof: { method: 'totp', code: '000000' },
    });
  for (let n = 0; n < limits.refusal.each + 5; n += 1) expect(await refusal(ask())).toBe('AUTHZ_INVALID');
  expect(desk.audit('request.refused')).toHaveLength(limits.refusal.each);
  const until = Math.floor(desk.nowMs / 1000) + 600;
  expect(desk.audit('refusals.left_out')).toMatchObject([{ subject: 'ada', until }]);
  desk.nowMs += 600_000;
  await refusal(ask());
  expect(desk.audit('request.refused')).toHaveLength(limits.refusal.each + 1);
});

test('the control plane’s own word fills no audit: beyond so much of it the signer takes nothing until later', async () => {
  const tell = () =>
    desk.ask('audit.take', {
      items: [{ t: 'notice', kind: 'operation.alarm', op: null, operator: null, data: {} }],
    });
  used('notice', 'operation.alarm', limits.notice.each - 1);
  expect(await refusal(tell())).toBeNull();
  await limited(tell());
  expect(desk.audit('operation.alarm')).toHaveLength(1);
  desk.nowMs += 600_000;
  expect(await refusal(tell())).toBeNull();
});
