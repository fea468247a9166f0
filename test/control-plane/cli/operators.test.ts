// Operators' verification methods on the control plane's host: added, listed, and replaced when they are lost.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { thumbprint } from '../../../protocol/keys.ts';
import { type RootPayload, rootPayload, type SignedRoot } from '../../../protocol/root.ts';
import { type Ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';
import { run, ServeProgram } from '../program.ts';

const program = new ServeProgram();
beforeAll(() => program.start());
afterAll(() => program.remove());

const latchkey = (...argv: string[]) => run(argv, { LATCHKEY_DATA: program.data });
async function json(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await latchkey(...argv, '--json');
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test('an operator who has lost everything is recovered on the host: new methods, and none of the old', async () => {
  const first = await json('operator', 'add', 'alice');
  const { recoveryCodes } = await json('operator', 'add', 'alice', '--recovery-codes');
  expect(recoveryCodes).toEqual(expect.arrayContaining([expect.stringMatching(/^[0-9a-z]{5}(-[0-9a-z]{5}){3}$/)]));
  const recovered = await json('operator', 'recover', 'alice');
  expect(recovered['totpUri']).toMatch(/^otpauth:\/\/totp\//);
  expect(recovered['totpUri']).not.toBe(first['totpUri']);
  const codes = recovered['recoveryCodes'] as string[];
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.filter((code) => (recoveryCodes as string[]).includes(code))).toEqual([]);
  const listed = await json('operator', 'list');
  expect(listed).toMatchObject({ name: 'alice', recovery_codes: codes.length });
  expect((listed['factors'] as { kind: string }[]).map(({ kind }) => kind)).toEqual(['totp']);
});

test('what is shown once is shown in words, too', async () => {
  const { stdout } = await latchkey('operator', 'add', 'bob', '--recovery-codes');
  expect(stdout).toContain('Recovery codes of bob, each for one use:');
  expect(stdout).toContain('Shown this once.');
  expect((await latchkey('operator', 'recover', 'bob')).stdout).toContain('Everything that bob proved with is gone.');
});

test('the public keys that machines may check are exported, and nothing else of anybody', async () => {
  const [key, output] = [join(program.data, 'deployer.jwk'), join(program.data, 'operators.json')];
  const { kid } = await json('operator', 'add', 'deployer', '--generate-key', key);
  await json('operator', 'add', 'dave');
  await json('operator', 'export', '-o', output);
  const text = readFileSync(output, 'utf8');
  const exported = JSON.parse(text) as Record<string, { keys: Ed25519Jwk[]; passkeys: unknown[] }>;
  expect(Object.keys(exported)).toEqual(['deployer']);
  expect(await thumbprint(exported['deployer']?.keys[0] as Ed25519Jwk)).toBe(kid);
  expect(text).not.toContain((JSON.parse(readFileSync(key, 'utf8')) as { d: string }).d);
});

test('nobody is recovered whom nobody knows, and methods exclude each other', async () => {
  const { code, stderr } = await latchkey('operator', 'recover', 'nobody');
  expect(code).toBe(3);
  expect(stderr).toMatch(/^latchkey: [A-Z_]+ [^\n]+\n$/);
  expect((await latchkey('operator', 'add', 'carol', '--totp', '--recovery-codes')).code).toBe(2);
});

test('the policy is shown and set, and a wrong one is a wrong use', async () => {
  expect(await json('operator', 'policy')).toEqual({
    event: 'policy',
    methods: ['totp', 'email', 'passkey', 'key', 'recovery'],
    secondPerson: false,
  });
  const set = await json('operator', 'policy', '--methods', 'key,passkey', '--second-person', 'on');
  expect(set).toMatchObject({ methods: ['passkey', 'key'], secondPerson: true });
  expect((await latchkey('operator', 'policy')).stdout).toMatch(/second person +has to approve as well/);
  for (const wrong of [
    ['--methods', 'sms'],
    ['--methods', ''],
    ['--methods', 'key,key'],
    ['--second-person', 'maybe'],
  ]) {
    expect((await latchkey('operator', 'policy', ...wrong)).code, wrong.join(' ')).toBe(2);
  }
  expect(await json('operator', 'policy')).toMatchObject({ methods: ['passkey', 'key'], secondPerson: true });
});

test('an invitation to register a passkey is shown once', async () => {
  const { invitation, apiKey } = await json('operator', 'add', 'erin', '--passkey');
  expect(invitation).toMatch(/^[A-Za-z0-9_-]{43}$/);
  const asked = await program.ask('POST', '/v1/passkeys/options', { invitation });
  // The invitation is erin's: the first operator, who asks here, has no use for it.
  expect([asked.status, asked.body['code']]).toEqual([403, 'AUTHZ_INVALID']);
  const response = await fetch(`${program.origin}/v1/passkeys/options`, {
    method: 'POST',
    headers: { authorization: `Bearer ${String(apiKey)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ invitation }),
  });
  // The console's address is where passkeys live: the running program knows it although its port was the system's choice.
  const { options } = (await response.json()) as { options: { rp: { id: string } } };
  expect([response.status, options.rp.id]).toEqual([200, 'localhost']);
});

test('a rotation of operators names the keys that they have at that moment', async () => {
  const key = join(program.data, 'frank.jwk');
  const { kid } = await json('operator', 'add', 'frank', '--generate-key', key);
  expect((await latchkey('keys', 'rotate', 'operators')).stdout).toMatch(/operators +.*frank/);
  const { body } = await program.ask('GET', '/v1/trust');
  const { roles, version } = payloadOfRoot((body as { root: SignedRoot }).root);
  expect(version).toBe(2);
  expect(await thumbprint(roles.operators?.['frank']?.keys[0] as Ed25519Jwk)).toBe(kid);
});

/** A published root as it says it is; that it follows from the one before is the chain's to prove. */
function payloadOfRoot({ payload }: SignedRoot): RootPayload {
  return parseSchema(rootPayload, JSON.parse(Buffer.from(payload, 'base64url').toString()));
}
