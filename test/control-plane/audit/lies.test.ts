// What an audit proves against the very signer that wrote it: here the command key seals whatever a test makes up, so that chain and
// seals hold, and what does not is found by what operators and machines have signed themselves.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyAudit } from '../../../control-plane/cli/audit/verifier.ts';
import { readKey } from '../../../control-plane/config/key-file.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { AUDIT_GENESIS, type AuditRow, auditText } from '../../../protocol/audit.ts';
import { Failure } from '../../../protocol/failure.ts';
import { readIntent } from '../../../protocol/intent.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { newId } from '../../../protocol/schema.ts';
import { payloadOf, signToken } from '../../../protocol/token.ts';
import { AGENT, type Built, Desk, enrolled, hashOf, kernel, signedReady, signedReceipt } from '../signer/desk.ts';

let desk: Desk;
let rows: readonly AuditRow[];
let commandKey: SigningKey;
let stranger: SigningKey;
beforeAll(async () => {
  desk = await Desk.open();
  commandKey = await readKey(pathsIn(desk.data).commandKey);
  stranger = await signingKeyFromSeed(kernel(32));
  const prove = await desk.key();
  const passkey = await desk.passkey('bob');
  const first = await desk.build();
  await desk.prove(first, await prove(first.intent_hash));
  await carriedOut(first);
  const second = await desk.build('bob');
  await desk.prove(second, { method: 'passkey', response: passkey.assert(second.intent_hash) as never }, 'bob');
  await carriedOut(second);
  const release = await desk.ask('release.build', { project: 'default', agent: AGENT, operator: 'ada' });
  await desk.prove(release, await prove(release.intent_hash));
  await desk.admin('policy.set', { second_person: true });
  const third = await desk.build();
  await desk.prove(third, await prove(third.intent_hash));
  await desk.prove(third, { method: 'passkey', response: passkey.assert(third.intent_hash) as never }, 'bob');
  await desk.mint(third);
  await desk.ask('cancel.mint', { op: third.op, operator: 'ada' });
  rows = desk.ledger.auditRows();
});
afterAll(() => desk.end());

/** Accepted, and done. */
async function carriedOut(built: Built): Promise<void> {
  const { cn, cmd_sha256 } = await desk.mint(built);
  const said = { op: built.op, cn, cmd_sha256 };
  const accepted = await signedReceipt(said, desk.ek);
  const done = await signedReceipt({ ...said, n: 2, prev: await hashOf(accepted), state: 'DONE' }, desk.ek);
  await desk.ask('audit.take', { items: [accepted, done].map((token) => ({ t: 'receipt' as const, token })) });
}

/** Chained and sealed as the signer would. */
async function sealed(made: readonly AuditRow[], key = commandKey): Promise<string[]> {
  const lines: string[] = [];
  let prev = AUDIT_GENESIS;
  const seal = (is: 'row' | 'end', n: number, hash: string, at: number) =>
    signToken('lk-audit+jws', { v: 1, is, n, hash, at }, key);
  for (const [index, row] of made.entries()) {
    const { at, kind, op, operator, data } = row;
    const next = { n: index + 1, at, kind, op, operator, data, prev };
    prev = await sha256Text(auditText(next));
    lines.push(JSON.stringify({ ...next, hash: prev, sig: await seal('row', next.n, prev, at) }));
  }
  return [...lines, JSON.stringify({ end: await seal('end', made.length, prev, 0) })];
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}
const verify = async (made: readonly AuditRow[], key = commandKey) => verifyAudit(each(await sealed(made, key)), null);
const complaint = (made: readonly AuditRow[], key = commandKey): Promise<unknown> =>
  verify(made, key).then(
    () => null,
    (error: unknown) => (error instanceof Failure ? [error.details['row'], error.details['reason']] : error),
  );

type Data = Record<string, unknown>;
const nth = (kind: string, count = 0) => rows.filter((row) => row.kind === kind)[count] as AuditRow;
const dataOf = ({ data }: AuditRow) => JSON.parse(data) as Data;
const changed = (row: AuditRow, change: Data, more: Partial<AuditRow> = {}) =>
  rows.with(row.n - 1, { ...row, ...more, data: JSON.stringify({ ...dataOf(row), ...change }) });
const without = (row: AuditRow) => rows.toSpliced(row.n - 1, 1);

test('the audit as it was written holds', async () => {
  const { counts, proofs, open } = await verify(rows);
  expect(counts).toEqual({ machines: 1, intents: 4, commands: 3, receipts: 4, gaps: 0, forks: 0 });
  // A cancelled command whose machine said nothing is open.
  expect([proofs, open.count]).toEqual([{ checked: 5, unchecked: 0 }, 1]);
});

describe('a command', () => {
  const resigned = async (change: Data, by: SigningKey = commandKey) => {
    const row = nth('command.signed');
    const token = await signToken(
      'lk-command+jws',
      { ...(payloadOf(String(dataOf(row)['token'])) as Data), ...change },
      by,
    );
    return changed(row, { token, cmd_sha256: await hashOf(token) });
  };

  test('by another key than the command role’s is named', async () => {
    expect(await complaint(await resigned({}, stranger))).toEqual([nth('command.signed').n, 'KID_UNKNOWN']);
  });

  test('for another machine, of another root or operation, or after its root’s end is named', async () => {
    const { n } = nth('command.signed');
    for (const change of [{ aud: `agt_${'0'.repeat(26)}` }, { root_ver: 2 }, { op: `op_${'0'.repeat(26)}` }]) {
      expect(await complaint(await resigned(change))).toEqual([n, 'command']);
    }
    const late = (rows[0] as AuditRow).at + 400 * 86_400;
    const made = (await resigned({ iat: late, exp: late + 1 })).with(n - 1, {
      ...((await resigned({ iat: late, exp: late + 1 }))[n - 1] as AuditRow),
      at: late,
    });
    expect(await complaint(made)).toEqual([n, 'KEY_EXPIRED']);
  });

  test('signed after its intent had ended is named', async () => {
    const row = nth('command.signed');
    const { intent } = payloadOf(String(dataOf(row)['token'])) as { intent: string };
    const iat = readIntent(intent).not_after + 1;
    const made = (await resigned({ iat, exp: iat + 1 })).map((one) => (one.n === row.n ? { ...one, at: iat } : one));
    expect(await complaint(made)).toEqual([row.n, 'expired']);
  });

  test('that a second person did not prove, though policy began to ask for one before the proof, is named', async () => {
    const { n } = nth('intent.proven');
    const policy = { ...nth('policy.set'), data: JSON.stringify({ methods: ['key'], second_person: true }) };
    expect(await complaint(rows.toSpliced(n - 1, 0, policy))).toEqual([nth('command.signed').n + 1, 'not_proven']);
    expect(await complaint(rows.toSpliced(n, 0, policy))).toBeNull();
  });

  test('over another intent than the one that was proven is named', async () => {
    const other = payloadOf(String(dataOf(nth('command.signed', 1))['token'])) as Data;
    expect(await complaint(await resigned({ intent: other['intent'] }))).toEqual([nth('command.signed').n, 'intent']);
  });

  test('that claims another proof than there was is named', async () => {
    const { authz } = payloadOf(String(dataOf(nth('command.signed'))['token'])) as { authz: Data };
    for (const change of [{ operator: 'bob' }, { method: 'passkey' }, { at: Number(authz['at']) + 1 }]) {
      expect(await complaint(await resigned({ authz: { ...authz, ...change } }))).toEqual([
        nth('command.signed').n,
        'authz',
      ]);
    }
  });

  test('that nobody proved, or the second person did not, is named', async () => {
    expect(await complaint(without(nth('intent.proven')))).toEqual([nth('command.signed').n - 1, 'not_proven']);
    expect(await complaint(without(nth('intent.seconded')))).toEqual([nth('command.signed', 2).n - 1, 'not_proven']);
  });

  test('to cancel that is none, or is called a reset, is named', async () => {
    const row = nth('cancel.signed');
    const payload = payloadOf(String(dataOf(row)['token'])) as { authz: Data };
    const token = await signToken(
      'lk-command+jws',
      { ...payload, authz: { ...payload.authz, method: 'totp' } },
      commandKey,
    );
    expect(await complaint(changed(row, { token, cmd_sha256: await hashOf(token) }))).toEqual([row.n, 'authz']);
    expect(await complaint(changed(row, { hash: stranger.kid }, { kind: 'command.signed' }))).toEqual([
      row.n,
      'intent',
    ]);
    const reset = dataOf(nth('command.signed', 2));
    expect(await complaint(changed(row, reset, { operator: 'ada' }))).toEqual([row.n, 'authz']);
  });

  test('with a nonce that was used is named, and so is a cancel of none', async () => {
    const row = nth('command.signed');
    expect(await complaint(rows.toSpliced(row.n, 0, row))).toEqual([row.n + 1, 'nonce']);
    expect(await complaint(without(nth('command.signed', 2)))).toEqual([nth('cancel.signed').n - 1, 'nonce']);
  });
});

describe('an intent', () => {
  test('whose bytes or operation are not its own is named', async () => {
    const [row, other] = [nth('intent.built'), nth('intent.built', 1)];
    expect(await complaint(changed(row, { intent: dataOf(other)['intent'] }))).toEqual([row.n, 'intent']);
    const { intent, hash } = dataOf(other);
    expect(await complaint(changed(row, { intent, hash }))).toEqual([row.n, 'intent']);
  });

  test.each([
    ['hash', async () => ({ hash: stranger.kid }), {}],
    ['machine', async () => ({ agent: `agt_${'0'.repeat(26)}` }), {}],
    ['operation', async () => ({}), { op: `op_${'0'.repeat(26)}` }],
    ['operator', async () => ({}), { operator: 'mallory' }],
  ])('to reset or to release with another %s than its bytes say is named', async (_, change, more) => {
    for (const kind of ['intent.built', 'release.built']) {
      const row = nth(kind);
      expect(await complaint(changed(row, await change(), more))).toEqual([row.n, 'intent']);
    }
  });

  test('that was never written down, and proven, is named', async () => {
    expect(await complaint(without(nth('intent.built')))).toEqual([nth('intent.proven').n - 1, 'intent']);
  });

  test('to do something else, or made anew after it was proven, is named', async () => {
    const row = nth('intent.built', 2);
    const { intent } = payloadOf(String(dataOf(nth('cancel.signed'))['token'])) as { intent: string };
    const cancel = { intent, hash: await sha256Text(fromBase64url(intent)) };
    expect(await complaint(changed(row, cancel))).toEqual([row.n, 'intent']);
    const { n } = nth('intent.proven');
    expect(await complaint(rows.toSpliced(n, 0, nth('intent.built')))).toEqual([n + 1, 'intent']);
  });

  test.each([
    ['key', 0],
    ['passkey', 1],
  ])('that was not proven by the operator’s %s is named', async (_, count) => {
    const row = nth('intent.proven', count);
    const other = dataOf(nth('intent.proven', count === 0 ? 2 : 0));
    expect(await complaint(changed(row, { proof: undefined }))).toEqual([row.n, 'proof']);
    expect(await complaint(changed(row, { proof: other['proof'] }))).toEqual([row.n, 'proof']);
    expect(await complaint(changed(row, {}, { operator: 'eve' }))).toEqual([row.n, 'proof']);
  });

  test('proven by a key that was removed before, or that never was, is named', async () => {
    const row = nth('intent.proven');
    const { kid } = dataOf(row)['proof'] as { kid: string };
    const removal = { ...row, kind: 'factor.removed', op: null, data: JSON.stringify({ kind: 'key', kid }) };
    expect(await complaint(rows.toSpliced(row.n - 1, 0, removal))).toEqual([row.n + 1, 'proof']);
    const recovery = { ...row, kind: 'operator.recovered', op: null, data: '{}' };
    expect(await complaint(rows.toSpliced(row.n - 1, 0, recovery))).toEqual([row.n + 1, 'proof']);
    expect(await complaint(without(nth('factor.added')))).toEqual([row.n - 1, 'proof']);
    for (const factor of [nth('factor.added'), nth('factor.added', 1)]) {
      expect(await complaint(changed(factor, { kid: stranger.kid }))).toEqual([factor.n, 'factor']);
    }
  });

  test('seconded by the one who asked is named', async () => {
    const row = nth('intent.seconded');
    expect(await complaint(changed(row, {}, { operator: 'ada' }))).toEqual([row.n, 'second_person']);
  });
});

describe('a receipt', () => {
  const forged = async (change: Partial<Receipt>, by: SigningKey) => {
    const row = nth('receipt.recorded', 1);
    const payload = { ...(payloadOf(String(dataOf(row)['token'])) as Receipt), ...change };
    const token = await signToken('lk-receipt+jws', payload, by);
    const { n, state, code } = payload;
    return changed(row, { token, n, state, code, sha256: await hashOf(token) });
  };

  test('that the machine did not sign is named: no control plane can make up an end', async () => {
    const { n } = nth('receipt.recorded', 1);
    for (const by of [stranger, commandKey]) {
      expect(await complaint(await forged({ state: 'FAILED', code: 'PASSWD_FAILED' }, by))).toEqual([n, 'KID_UNKNOWN']);
    }
    const [head, , signature] = String(dataOf(nth('receipt.recorded', 1))['token']).split('.');
    const [, body] = String(dataOf(nth('receipt.recorded'))['token']).split('.');
    const mixed = [head, body, signature].join('.');
    expect(await complaint(changed(nth('receipt.recorded', 1), { token: mixed }))).toEqual([n, 'SIG_INVALID']);
  });

  test('that its row tells otherwise than it says is named', async () => {
    const row = nth('receipt.recorded', 1);
    for (const change of [{ state: 'FAILED' }, { code: 'BUSY' }, { n: 3 }, { sha256: stranger.kid }]) {
      expect(await complaint(changed(row, change))).toEqual([row.n, 'receipt']);
    }
    expect(await complaint(changed(row, {}, { op: nth('intent.built', 1).op }))).toEqual([row.n, 'receipt']);
  });

  test('left out of its chain is named by the one that follows it', async () => {
    expect(await complaint(without(nth('receipt.recorded')))).toEqual([
      nth('receipt.recorded', 1).n - 1,
      'receipt_chain',
    ]);
    const { n } = nth('receipt.recorded', 1);
    expect(await complaint(await forged({ prev: stranger.kid }, desk.ek))).toEqual([n, 'receipt_chain']);
  });

  test('about another command, or in another machine’s name, is named', async () => {
    const { n } = nth('receipt.recorded', 1);
    expect(await complaint(await forged({ cmd_sha256: stranger.kid }, desk.ek))).toEqual([n, 'not_commanded']);
    expect(await complaint(await forged({ agent: `agt_${'0'.repeat(26)}` }, desk.ek))).toEqual([n, 'receipt']);
  });

  test('after a gap is told as that, with what was there before it, or is named', async () => {
    const [first, second] = [nth('receipt.recorded'), nth('receipt.recorded', 1)];
    const told = (kind: string, after: number) => changed(second, { after }, { kind }).toSpliced(first.n - 1, 1);
    expect(await verify(told('receipt.gap', 0))).toMatchObject({
      counts: { gaps: 1, receipts: 2 },
      gaps: [{ row: second.n - 1, op: second.op, after: 0, n: 2 }],
      open: { count: 2 },
    });
    expect(await complaint(told('receipt.gap', 1))).toEqual([second.n - 1, 'receipt_chain']);
    expect(await complaint(told('receipt.fork', 0))).toEqual([second.n - 1, 'receipt_chain']);
  });

  test('called a gap or a fork that is none is named', async () => {
    const row = nth('receipt.recorded', 1);
    for (const kind of ['receipt.gap', 'receipt.fork']) {
      expect(await complaint(changed(row, { after: 1 }, { kind }))).toEqual([row.n, 'receipt_chain']);
    }
    expect(await complaint(changed(row, { after: 0 }, { kind: 'receipt.gap' }))).toEqual([row.n, 'receipt_chain']);
  });

  test('of a machine that was not enrolled, or about no command of it, is named', async () => {
    const row = nth('receipt.recorded');
    expect(await complaint(without(nth('machine.enrolled')))).toEqual([row.n - 1, 'machine']);
    expect(await complaint(without(nth('command.signed')))).toEqual([row.n - 1, 'not_commanded']);
    expect(await complaint(changed(nth('machine.enrolled'), { ek: stranger.jwk }))).toEqual([row.n, 'KID_UNKNOWN']);
    expect(await complaint(rows.toSpliced(2, 0, nth('machine.enrolled')))).toEqual([3, 'machine']);
  });
});

test('a root that is not signed by the one before is named', async () => {
  const [row] = rows as [AuditRow];
  const data = JSON.stringify({ ...dataOf(row), documents: [{ payload: 'e30', signatures: [] }] });
  expect(await complaint(rows.with(0, { ...row, data }))).toEqual([1, 'root']);
  expect(await complaint(rows.toSpliced(1, 0, row))).toEqual([2, 'root']);
});

test('first passwords are for the machine of their token, and no command of them for another', async () => {
  const other = await Desk.open();
  const key = await readKey(pathsIn(other.data).commandKey);
  const prove = await other.key();
  const [agent, join_sha256] = [newId('agt', kernel), toBase64url(kernel(32))];
  const secret = { mode: 'generated' as const, recipient_jwk: (await sealingKeyFromSeed(kernel(32))).jwk };
  const account = { name: null, uid: null, unlock: false, secret };
  const op = newId('op', kernel);
  const asked = { op, project: 'default', agent, operator: 'ada', account, join_sha256, grace_s: 0, valid_s: 900 };
  const { intent_hash } = await other.ask('intent.build', asked);
  await other.prove({ op, intent_hash }, await prove(intent_hash));
  await other.ask('audit.take', { items: [{ ...(await enrolled(other.ek, agent)), join_sha256 }] });
  const ready = await signedReady(op, other.ek, { agent });
  await other.ask('command.mint', { op, intent_hash, ready, sealed: null, previous: 'never_sent' });
  const honest = other.ledger.auditRows();
  await other.end();
  expect(await complaint(honest, key)).toBeNull();
  const command = honest.find(({ kind }) => kind === 'command.signed');
  for (const change of [{ join_sha256: toBase64url(kernel(32)) }, { join_sha256: undefined }]) {
    const lied = honest.map((row) => {
      if (row.kind !== 'machine.enrolled' || dataOf(row)['agent'] !== agent) return row;
      return { ...row, data: JSON.stringify({ ...dataOf(row), ...change }) };
    });
    expect(await complaint(lied, key)).toEqual([command?.n, 'join_token']);
  }
});
