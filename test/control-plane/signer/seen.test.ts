// What the control plane tells the signer for its audit: the signer believes it nothing that a machine has to have signed.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { RECEIPTS_MAX } from '../../../control-plane/core/receive.ts';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import { type SigningKey, sealingKeyFromSeed, signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { newId } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { Desk, enrolled, hashOf, kernel, refusal, signedReceipt } from './desk.ts';

let desk: Desk;
let op: string;
let command: Pick<Receipt, 'cn' | 'cmd_sha256'>;
beforeEach(async () => {
  desk = await Desk.open();
  const prove = await desk.key();
  const built = await desk.build();
  await desk.prove(built, await prove(built.intent_hash));
  const { cn, cmd_sha256 } = await desk.mint(built);
  command = { cn, cmd_sha256 };
  op = built.op;
});
afterEach(() => desk.end());

const receipt = (change: Partial<Receipt>, by: SigningKey = desk.ek) =>
  signedReceipt({ op, ...command, ...change }, by);
const tell = (...tokens: string[]) =>
  desk.ask('audit.take', { items: tokens.map((token) => ({ t: 'receipt' as const, token })) });
const rows = () =>
  desk.ledger
    .auditRows()
    .filter(({ kind }) => /^(receipt|told)\./.test(kind))
    .map(({ kind, data }) => {
      const { n, after, code } = JSON.parse(data) as { n?: number; after?: number; code?: string | null };
      return [kind, ...[n, after, code].filter((said) => said !== undefined && said !== null)].join(' ');
    });

test('receipts are rows in the order of their chain, each once, also when they are told again', async () => {
  const first = await receipt({});
  const second = await receipt({ n: 2, prev: await hashOf(first), state: 'PASSWORD_SET' });
  await tell(first, second);
  await tell(first, second, second);
  expect(rows()).toEqual(['receipt.recorded 1', 'receipt.recorded 2']);
});

test('a gap is a gap, with the receipt that shows it, until what is missing comes', async () => {
  const first = await receipt({});
  const second = await receipt({ n: 2, prev: await hashOf(first), state: 'PASSWORD_SET' });
  const third = await receipt({ n: 3, prev: await hashOf(second), state: 'REBOOTING' });
  await tell(first, third, third);
  expect(rows()).toEqual(['receipt.recorded 1', 'receipt.gap 3 1']);
  await tell(second, third);
  expect(rows().slice(2)).toEqual(['receipt.recorded 2', 'receipt.recorded 3']);
});

test('two receipts of one number, or of another past, are a fork', async () => {
  const first = await receipt({});
  await tell(first, await receipt({ state: 'REFUSED', code: 'BUSY' }));
  await tell(await receipt({ n: 2, prev: toBase64url(kernel(32)) }));
  expect(rows()).toEqual(['receipt.recorded 1', 'receipt.fork 1 1 BUSY', 'receipt.fork 2 1']);
});

test('a receipt that the machine did not sign is written down as that', async () => {
  await tell(await receipt({}, await signingKeyFromSeed(kernel(32))));
  const real = await receipt({});
  const [head, , signature] = real.split('.');
  const altered = toBase64url(canonicalBytes({ ...(payloadOf(real) as object), state: 'DONE' }));
  await tell([head, altered, signature].join('.'));
  expect(rows()).toEqual(['told.refused KID_UNKNOWN', 'told.refused SIG_INVALID']);
});

test('a receipt about what was never commanded of that machine is none', async () => {
  const other = newId('agt', kernel);
  const ek = await signingKeyFromSeed(kernel(32));
  await desk.ask('audit.take', { items: [await enrolled(ek, other)] });
  await tell(await receipt({ agent: other }, ek));
  await tell(await receipt({ cmd_sha256: toBase64url(kernel(32)) }));
  await tell(await receipt({ agent: newId('agt', kernel) }));
  expect(rows()).toEqual(['told.refused AUTHZ_INVALID', 'told.refused AUTHZ_INVALID', 'told.refused NOT_ENROLLED']);
});

test('a receipt beyond what any reset has is none, whatever is missing before it', async () => {
  await tell(await receipt({ n: RECEIPTS_MAX }), await receipt({ n: RECEIPTS_MAX + 1 }));
  expect(rows()).toEqual([`receipt.gap ${RECEIPTS_MAX} 0`, 'told.refused AUTHZ_INVALID']);
});

test('a refusal of altered bytes is taken by its nonce', async () => {
  await tell(await receipt({ state: 'REFUSED', code: 'SIG_INVALID', cmd_sha256: toBase64url(kernel(32)) }));
  expect(rows()).toEqual(['receipt.recorded 1 SIG_INVALID']);
});

test('a machine has one key: nobody is told another one later', async () => {
  await desk.ask('audit.take', { items: [await enrolled(await signingKeyFromSeed(kernel(32)))] });
  expect(rows()).toEqual(['told.refused ALREADY_EXISTS']);
  await tell(await receipt({}));
  expect(rows().at(-1)).toBe('receipt.recorded 1');
});

test('what cannot be sealed now is told again, and is nobody’s lie', async () => {
  const [other, ek] = [newId('agt', kernel), await signingKeyFromSeed(kernel(32))];
  const items = [await enrolled(ek, other), { t: 'receipt' as const, token: await receipt({}) }];
  desk.unsigned = 1;
  expect(await refusal(desk.ask('audit.take', { items }))).toBe('KEY_UNAVAILABLE');
  expect(rows()).toEqual([]);
  await desk.ask('audit.take', { items });
  expect(rows()).toEqual(['receipt.recorded 1']);
  expect(desk.audit('machine.enrolled').map(({ agent }) => agent)).toContain(other);
});

test('no command is signed for a machine that the signer never heard of', async () => {
  const { jwk } = await sealingKeyFromSeed(kernel(32));
  const account = { name: null, uid: 0, unlock: false, secret: { mode: 'generated' as const, recipient_jwk: jwk } };
  const asked = { project: 'default', operator: 'bob', account, grace_s: 0, valid_s: 900 };
  const prove = await desk.key('bob');
  const stranger = { op: newId('op', kernel), agent: newId('agt', kernel) };
  const built = { op: stranger.op, ...(await desk.ask('intent.build', { ...asked, ...stranger })) };
  await desk.prove(built, await prove(built.intent_hash), 'bob');
  expect(await refusal(desk.mint(built))).toBe('NOT_ENROLLED');
  expect(desk.audit('request.refused')).toMatchObject([
    { op: stranger.op, method: 'command.mint', code: 'NOT_ENROLLED' },
  ]);
});
