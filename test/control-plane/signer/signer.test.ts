// The signer over its own sockets: a factor buys one operation, exactly as its intent says, and what was burnt stays burnt
// when the process is started again.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TOTP, Secret as TotpSecret } from 'otpauth';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openInstallation } from '../../../control-plane/config/installation.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { adminClient, signerClient } from '../../../control-plane/signer/client.ts';
import { COMMANDS_MAX } from '../../../control-plane/signer/commands.ts';
import { SignerLedger } from '../../../control-plane/signer/ledger.ts';
import { type SignerServer, serveSigner } from '../../../control-plane/signer/server.ts';
import { type Command, command as commandSchema } from '../../../protocol/command.ts';
import { readIntent } from '../../../protocol/intent.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import { type RootPayload, roleKeys } from '../../../protocol/root.ts';
import { newId, parseSchema } from '../../../protocol/schema.ts';
import type { Ready } from '../../../protocol/session.ts';
import { verifyToken } from '../../../protocol/token.ts';
import { AGENT, commandAuthority, enrolled, refusal, signedReady } from './desk.ts';

const kernel = (count: number) => Uint8Array.from(randomBytes(count));

let data: string;
let nowMs: number;
let root: RootPayload;
let ledger: SignerLedger;
let server: SignerServer;
let key: SigningKey;
let ek: SigningKey;
let secret: TotpSecret;

const paths = () => pathsIn(data);
const ask = () => signerClient(paths().signerSocket);
const admin = () => adminClient(paths().adminSocket);
const newHash = () => toBase64url(kernel(32));
const codeAt = (ms: number) => new TOTP({ secret }).generate({ timestamp: ms });

async function open(): Promise<void> {
  ledger = SignerLedger.open(paths().signerDatabase);
  const authority = await commandAuthority(data);
  const log = pino({ level: 'silent' });
  const parts = { ledger, authority, randomBytes: kernel, nowS: () => Math.floor(nowMs / 1000), log };
  const sockets = { signer: paths().signerSocket, admin: paths().adminSocket };
  server = await serveSigner({ ...parts, mailer: null, origin: () => null }, sockets, log);
}

async function close(): Promise<void> {
  await server.close();
  ledger.close();
}

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), 'latchkey-signer-'));
  nowMs = Date.now();
  const { chain } = await openInstallation(paths(), { randomBytes: kernel, nowMs: () => nowMs });
  ({ root } = await chain.newest());
  await open();
  key = await signingKeyFromSeed(kernel(32));
  ek = await signingKeyFromSeed(kernel(32));
  await ask()('audit.take', { items: [await enrolled(ek)] });
  await admin()('operator.add', { name: 'ada', key: key.jwk });
  const { totp_uri } = await admin()('operator.add', { name: 'ada' });
  secret = TotpSecret.fromBase32(new URL(totp_uri ?? '').searchParams.get('secret') ?? '');
});
afterEach(async () => {
  await close();
  rmSync(data, { recursive: true });
});

async function build(op = newId('op', kernel), operator = 'ada', more: object = {}) {
  const { jwk } = await sealingKeyFromSeed(kernel(32));
  const account = { name: null, uid: 0, unlock: false, secret: { mode: 'generated' as const, recipient_jwk: jwk } };
  const asked = { op, project: 'default', agent: AGENT, operator, account, grace_s: 0, valid_s: 900, ...more };
  return { op, ...(await ask()('intent.build', asked)) };
}

const prove = (op: string, intent_hash: string, proof: Parameters<typeof proofOf>[0], operator = 'ada') =>
  ask()('intent.prove', { op, intent_hash, operator, proof: proofOf(proof) });
const proofOf = (proof: string | { kid: string; sig: string }) =>
  typeof proof === 'string' ? { method: 'totp' as const, code: proof } : { method: 'key' as const, ...proof };

async function signed(intentHash: string, by: SigningKey = key) {
  const sig = await crypto.subtle.sign('Ed25519', by.privateKey, Uint8Array.from(fromBase64url(intentHash)));
  return { kid: by.kid, sig: toBase64url(new Uint8Array(sig)) };
}

const readyFor = (op: string, change: Partial<Ready> = {}, by: SigningKey = ek) => signedReady(op, by, change);

const mint = async (op: string, intent_hash: string, ready: string, more: object = {}) =>
  ask()('command.mint', { op, intent_hash, ready, sealed: null, previous: 'never_sent', ...more });

async function proven() {
  const built = await build();
  await prove(built.op, built.intent_hash, await signed(built.intent_hash));
  return built;
}

describe('a code', () => {
  test('of this step or the one before is accepted, and no other', async () => {
    const now = await build();
    expect((await prove(now.op, now.intent_hash, codeAt(nowMs))).method).toBe('totp');
    nowMs += 120_000;
    const before = await build();
    expect(await refusal(prove(before.op, before.intent_hash, codeAt(nowMs - 30_000)))).toBeNull();
    nowMs += 120_000;
    const older = await build();
    expect(await refusal(prove(older.op, older.intent_hash, codeAt(nowMs - 60_000)))).toBe('FACTOR_REFUSED');
    expect(await refusal(prove(older.op, older.intent_hash, codeAt(nowMs + 30_000)))).toBe('FACTOR_REFUSED');
  });

  test('works once, also after the signer was started again', async () => {
    const first = await build();
    const code = codeAt(nowMs);
    await prove(first.op, first.intent_hash, code);
    const second = await build();
    expect(await refusal(prove(second.op, second.intent_hash, code))).toBe('FACTOR_REFUSED');
    await close();
    await open();
    expect(await refusal(prove(second.op, second.intent_hash, code))).toBe('FACTOR_REFUSED');
    nowMs += 30_000;
    expect(await refusal(prove(second.op, second.intent_hash, codeAt(nowMs)))).toBeNull();
  });

  test('wrong five times voids the operation: the sixth try is refused even when it is right', async () => {
    const { op, intent_hash } = await build();
    const wrong = codeAt(nowMs + 3_600_000);
    for (let left = 4; left >= 0; left -= 1) {
      const tried = prove(op, intent_hash, wrong);
      await expect(tried).rejects.toMatchObject({ code: 'FACTOR_REFUSED', details: { left } });
    }
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs)))).toBe('FACTOR_LOCKED');
    expect(await refusal(prove(op, intent_hash, await signed(intent_hash)))).toBe('FACTOR_LOCKED');
    // Nor does a new intent of that operation start the count afresh.
    expect(await refusal(build(op))).toBe('FACTOR_LOCKED');
  });

  test('tries are counted across a restart', async () => {
    const { op, intent_hash } = await build();
    for (let n = 0; n < 4; n += 1) await refusal(prove(op, intent_hash, codeAt(nowMs + 3_600_000)));
    await close();
    await open();
    await expect(prove(op, intent_hash, codeAt(nowMs + 3_600_000))).rejects.toMatchObject({ details: { left: 0 } });
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs)))).toBe('FACTOR_LOCKED');
  });

  test('wrong a hundred times in a row locks the operator until a factor is registered anew', async () => {
    for (let n = 0; n < 20; n += 1) {
      const { op, intent_hash } = await build(undefined, 'ada', { valid_s: 86_400 });
      for (let k = 0; k < 5; k += 1) {
        // Past whatever wait the failures before have brought.
        nowMs += 900_000;
        await refusal(prove(op, intent_hash, codeAt(nowMs + 3_600_000)));
      }
    }
    const { op, intent_hash } = await build();
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs)))).toBe('FACTOR_LOCKED');
    await admin()('factor.remove', { name: 'ada', kind: 'totp' });
    expect(await refusal(prove(op, intent_hash, await signed(intent_hash)))).toBeNull();
  });
});

describe('a proof', () => {
  test('by a registered key covers exactly the intent that it signed', async () => {
    const [one, two] = [await build(), await build()];
    const three = await build();
    expect(await refusal(prove(two.op, two.intent_hash, await signed(one.intent_hash)))).toBe('AUTHZ_INVALID');
    expect(await refusal(prove(one.op, three.intent_hash, await signed(three.intent_hash)))).toBe('AUTHZ_INVALID');
    expect(await refusal(prove(three.op, three.intent_hash, await signed(three.intent_hash)))).toBeNull();
    // Both operations are void: what cannot be mistyped was made for something else.
    for (const { op, intent_hash } of [one, two]) {
      expect(await refusal(prove(op, intent_hash, await signed(intent_hash)))).toBe('AUTHZ_INVALID');
      expect(await refusal(build(op))).toBe('AUTHZ_INVALID');
    }
  });

  test('for an intent that a newer one replaced voids the operation', async () => {
    const first = await build();
    const second = await build(first.op);
    expect(await refusal(prove(first.op, first.intent_hash, await signed(first.intent_hash)))).toBe('AUTHZ_INVALID');
    expect(await refusal(prove(first.op, second.intent_hash, await signed(second.intent_hash)))).toBe('AUTHZ_INVALID');
  });

  test('by another operator than the intent names is refused, and changes nothing for the one it names', async () => {
    await admin()('operator.add', { name: 'eve' });
    const { op, intent_hash } = await build();
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs), 'eve'))).toBe('AUTHZ_INVALID');
    expect(await refusal(prove(op, newHash(), codeAt(nowMs), 'eve'))).toBe('AUTHZ_INVALID');
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs)))).toBeNull();
  });

  test('with a method that the operator has not registered is unknown', async () => {
    const other = await signingKeyFromSeed(kernel(32));
    const { op, intent_hash, methods } = await build(undefined, 'bob');
    expect(methods).toEqual([]);
    expect(await refusal(prove(op, intent_hash, codeAt(nowMs), 'bob'))).toBe('FACTOR_UNKNOWN');
    const mine = await build();
    expect(await refusal(prove(mine.op, mine.intent_hash, await signed(mine.intent_hash, other)))).toBe(
      'AUTHZ_INVALID',
    );
  });

  test('is accepted once', async () => {
    const { op, intent_hash } = await build();
    await prove(op, intent_hash, await signed(intent_hash));
    expect(await refusal(prove(op, intent_hash, await signed(intent_hash)))).toBe('STATE_CONFLICT');
    expect(await refusal(build(op))).toBe('STATE_CONFLICT');
    expect(await ask()('intent.status', { op })).toMatchObject({
      intent_hash,
      proven: { method: 'key' },
      locked: false,
    });
  });

  test('comes too late for an intent past its end', async () => {
    const { op, intent_hash } = await build();
    nowMs += 901_000;
    expect(await refusal(prove(op, intent_hash, await signed(intent_hash)))).toBe('EXPIRED');
  });
});

describe('a command', () => {
  test('carries the intent’s very bytes, the executor’s nonce and the proof, for two minutes at most', async () => {
    const { op, intent, intent_hash } = await proven();
    const ready = await readyFor(op);
    const { token, cn, cmd_sha256, exp } = await mint(op, intent_hash, ready);
    const verified = await verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', Math.floor(nowMs / 1000)));
    const command: Command = parseSchema(commandSchema, verified.payload);
    expect(verified.payloadSha256).toBe(cmd_sha256);
    expect(command).toMatchObject({
      aud: AGENT,
      iss: root.iss,
      op,
      cn,
      exp,
      intent,
      authz: { operator: 'ada', method: 'key' },
    });
    expect(command.exp - command.iat).toBeLessThanOrEqual(120);
    expect(readIntent(command.intent ?? '')).toMatchObject({ agent: AGENT, op, method: 'online', operator: 'ada' });
  });

  test('is not signed for an intent that was not proven, or that has ended', async () => {
    const unproven = await build();
    expect(await refusal(mint(unproven.op, unproven.intent_hash, await readyFor(unproven.op)))).toBe('AUTHZ_INVALID');
    const { op, intent_hash } = await proven();
    nowMs += 901_000;
    expect(await refusal(mint(op, intent_hash, await readyFor(op)))).toBe('EXPIRED');
  });

  test('needs a ready of this operation, this agent and this executor’s key', async () => {
    const { op, intent_hash } = await proven();
    expect(await refusal(mint(op, intent_hash, await readyFor(newId('op', kernel))))).toBe('AUTHZ_INVALID');
    const foreign = await readyFor(op, { agent: newId('agt', kernel) });
    expect(await refusal(mint(op, intent_hash, foreign))).toBe('AUTHZ_INVALID');
    const forged = await readyFor(op, {}, await signingKeyFromSeed(kernel(32)));
    expect(await refusal(mint(op, intent_hash, forged))).toBe('KID_UNKNOWN');
  });

  test('is never signed twice for one nonce, and again only with a reason that the audit keeps', async () => {
    const { op, intent_hash } = await proven();
    const ready = await readyFor(op);
    await mint(op, intent_hash, ready);
    expect(await refusal(mint(op, intent_hash, ready, { previous: 'executor_gone' }))).toBe('NONCE_UNKNOWN');
    expect(await refusal(mint(op, intent_hash, await readyFor(op), { previous: null }))).toBe('REQUEST_INVALID');
    expect(await refusal(mint(op, intent_hash, await readyFor(op), { previous: 'executor_gone' }))).toBeNull();
    const signings = ledger.auditRows().filter(({ kind }) => kind === 'command.signed');
    expect(signings.map(({ data: text }) => JSON.parse(text).again)).toEqual([undefined, 'executor_gone']);
  });

  test('is not signed again for ever', async () => {
    const { op, intent_hash } = await proven();
    for (let n = 0; n < COMMANDS_MAX; n += 1) await mint(op, intent_hash, await readyFor(op));
    expect(await refusal(mint(op, intent_hash, await readyFor(op)))).toBe('OP_CONFLICT');
  });

  test('takes along exactly the sealed secrets that were proven', async () => {
    const sealed = 'aaaa..bbbb.cccc.dddd';
    const account = { name: null, uid: 0, unlock: false, secret: { mode: 'typed' as const, sealed } };
    const { op, intent, intent_hash } = await build(undefined, 'ada', { account });
    expect(readIntent(intent)).toMatchObject({ account: { secret: { sealed_sha256: await sha256Text(sealed) } } });
    await prove(op, intent_hash, await signed(intent_hash));
    for (const wrong of [null, {}, { account: 'aaaa..bbbb.cccc.eeee' }, { account: sealed, vnc: sealed }]) {
      expect(await refusal(mint(op, intent_hash, await readyFor(op), { sealed: wrong }))).toBe('AUTHZ_INVALID');
    }
    const { token } = await mint(op, intent_hash, await readyFor(op), { sealed: { account: sealed } });
    const { payload } = await verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', null));
    expect(payload).toMatchObject({ sealed: { account: sealed } });
  });

  test('to cancel names the nonce of the executor at work and needs no factor', async () => {
    const { op, intent_hash } = await proven();
    expect(await refusal(ask()('cancel.mint', { op, operator: 'ada' }))).toBe('STATE_CONFLICT');
    const { cn } = await mint(op, intent_hash, await readyFor(op));
    const { token } = await ask()('cancel.mint', { op, operator: 'bob' });
    const { payload } = await verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', null));
    const command = parseSchema(commandSchema, payload);
    expect(command).toMatchObject({ cn, op, authz: { operator: 'bob', method: 'session' } });
    expect(readIntent(command.intent ?? '')).toMatchObject({ act: 'cancel', operator: 'bob' });
  });
});

describe('the signer', () => {
  test('keeps an audit of what it did, whose first row is the root that it did it under', async () => {
    const { op } = await proven();
    await refusal(ask()('cancel.mint', { op, operator: 'ada' }));
    const begin = ['root.published', 'machine.enrolled', 'factor.added', 'factor.added'];
    const kinds = ledger.auditRows().map(({ kind }) => kind);
    expect(kinds).toEqual([...begin, 'intent.built', 'intent.proven', 'request.refused']);
  });

  test('answers on the network’s socket nothing of its administration', async () => {
    const asAdmin = adminClient(paths().signerSocket);
    expect(await refusal(asAdmin('operator.add', { name: 'eve' }))).toBe('NOT_FOUND');
  });

  test('refuses unknown members, another method and too many bytes, and lives on', async () => {
    const { op, intent_hash } = await build();
    const proof = { method: 'totp', code: codeAt(nowMs), force: true };
    const asked = ask()('intent.prove', { op, intent_hash, operator: 'ada', proof } as never);
    expect(await refusal(asked)).toBe('REQUEST_INVALID');
    expect(await refusal(ask()('keys.export' as never, {} as never))).not.toBeNull();
    const flood = { op, padding: 'x'.repeat(100_000) };
    expect(await refusal(ask()('intent.status', flood as never))).not.toBeNull();
    expect((await ask()('intent.status', { op })).intent_hash).toBe(intent_hash);
  });

  test('that is away is SIGNER_UNAVAILABLE', async () => {
    await close();
    expect(await refusal(build())).toBe('SIGNER_UNAVAILABLE');
    await open();
  });

  test('registers one authenticator an operator, and a key for one operator', async () => {
    expect(await refusal(admin()('operator.add', { name: 'ada' }))).toBe('ALREADY_EXISTS');
    expect(await refusal(admin()('operator.add', { name: 'bob', key: key.jwk }))).toBe('ALREADY_EXISTS');
    const { operators } = await admin()('operator.list', {});
    expect(operators).toMatchObject([
      {
        name: 'ada',
        factors: [
          { kind: 'key', kid: key.kid },
          { kind: 'totp', kid: null },
        ],
      },
    ]);
  });

  test('refuses a database of a newer version', () => {
    const path = join(data, 'newer.db');
    SignerLedger.open(path).close();
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
    const db = new DatabaseSync(path);
    db.exec('PRAGMA user_version = 99');
    db.close();
    expect(() => SignerLedger.open(path)).toThrow(expect.objectContaining({ code: 'DATABASE_NEWER' }));
  });
});
