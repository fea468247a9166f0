// `latchkey vm create`: what is handed out is what was proven, and where anything else was shown nothing is.

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { VmView } from '../../../control-plane/api/schemas.ts';
import { type Api, connectApi } from '../../../control-plane/cli/client/api.ts';
import { type CreateOptions, createMachine } from '../../../control-plane/cli/create.ts';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import { type InitialiseIntent, readIntent } from '../../../protocol/intent.ts';
import { sealingKeyFromSeed, sha256Text, signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { newId } from '../../../protocol/schema.ts';
import { Secret } from '../../../protocol/secret.ts';
import { random32 } from '../scripted-agent.ts';
import { World } from '../world.ts';

const kernel = (count: number) => crypto.getRandomValues(new Uint8Array(count));
const recipient = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(kernel(32))).jwk } as const;

let world: World;
let keyFile = '';
beforeAll(async () => {
  world = await World.start();
  keyFile = join(world.data, 'operator.jwk');
  const seed = kernel(32);
  const { jwk } = await signingKeyFromSeed(seed);
  writeFileSync(keyFile, JSON.stringify({ ...jwk, d: toBase64url(seed) }), { mode: 0o600 });
  await world.admin('operator.add', { name: 'admin', key: jwk });
});
afterAll(() => world.stop());

let said = '';
beforeEach(() => {
  said = '';
  const note = (text: string | Uint8Array) => {
    said += String(text);
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(note);
  vi.spyOn(process.stderr, 'write').mockImplementation(note);
});
afterEach(() => vi.restoreAllMocks());

const machines = async () => (await world.ask('GET', '/v1/vms')).body['items'] as VmView[];
const fileOf = (name: string) => join(world.data, name);
const keysKept = () => (existsSync(fileOf('state/recipients')) ? readdirSync(fileOf('state/recipients')) : []);

/** As an operator who is asked nothing, over an API that is what `alter` makes of the real one. */
function create(name: string, alter: (api: Api) => Partial<Api> = () => ({}), more: Partial<CreateOptions> = {}) {
  const api = connectApi({ url: new URL(world.origin), apiKey: Secret.ofText(world.apiKey) });
  const client = {
    api: { ...api, ...alter(api) },
    stateFolder: fileOf('state'),
    randomBytes: kernel,
    now: () => new Date(world.now),
  };
  return createMachine(client, name, { as: 'file', output: fileOf(name), yes: true, json: true, keyFile, ...more });
}

test('the token of the file is the one that was proven, and the key to the passwords is kept here', async () => {
  expect(await create('web', undefined, { independent: true, label: { tier: 'web' }, grace: 5 })).toBe(0);
  const token = readFileSync(fileOf('web'), 'utf8').trim();
  expect(statSync(fileOf('web')).mode & 0o777).toBe(0o600);
  const { op, ...created } = JSON.parse(said) as { op: string; event: string };
  expect(created).toMatchObject({ event: 'created', approved: true, warnings: [], files: [fileOf('web')] });
  expect(said).not.toContain(token);
  const { body } = await world.ask('GET', `/v1/operations/${op}/intent`);
  expect(readIntent(String(body['intent']))).toMatchObject({
    join_sha256: await sha256Text(token),
    vnc: { secret: { mode: 'generated' } },
    reboot: { grace_s: 5 },
  });
  expect(keysKept()).toEqual([`${op}.json`]);
});

describe('where the control plane shows another intent', () => {
  test.each<[string, (intent: InitialiseIntent) => object]>([
    ['of another token', () => ({ join_sha256: random32() })],
    ['of another machine', () => ({ agent: newId('agt', kernel) })],
    ['of another account', ({ account }) => ({ account: { ...account, name: 'eve' } })],
    ['sealed to somebody else', ({ account }) => ({ account: { ...account, secret: recipient } })],
    ['with another policy for VNC', ({ vnc }) => ({ vnc: { ...vnc, secret: recipient } })],
    ['without VNC', () => ({ vnc: undefined })],
    ['that lives longer', ({ not_after }) => ({ not_after: not_after + 7_200 })],
    ['that waits', ({ reboot }) => ({ reboot: { ...reboot, grace_s: 60 } })],
    ['by somebody else', () => ({ operator: 'eve' })],
  ])('%s, nothing is proven, handed out or left', async (_, change) => {
    const [before, kept] = [(await machines()).length, keysKept()];
    const altered = create('altered', (api) => ({
      intent: async (op, body) => {
        const answer = await api.intent(op, body);
        const intent = readIntent(answer.intent) as InitialiseIntent;
        const bytes = canonicalBytes({ ...intent, ...change(intent) });
        const intent_hash = toBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))));
        return { ...answer, intent: toBase64url(bytes), intent_hash };
      },
      submit: async () => expect.fail('something was proven'),
    }));
    await expect(altered).rejects.toMatchObject({ code: 'AUTHZ_INVALID', details: { field: 'intent' } });
    expect(await machines()).toHaveLength(before);
    expect([existsSync(fileOf('altered')), keysKept()]).toEqual([false, kept]);
  });
});

test('a file that cannot be written leaves no machine that could come', async () => {
  const before = (await machines()).length;
  await expect(create('lost', undefined, { output: join(keyFile, 'within') })).rejects.toThrow();
  expect(await machines()).toHaveLength(before);
  const tokens = (await world.ask('GET', '/v1/join-tokens')).body['items'] as { name: string; state: string }[];
  expect(tokens.find(({ name }) => name === 'lost')?.state).toBe('revoked');
});

test('one password for both is warned of when it is approved', async () => {
  await create('same-json');
  expect(JSON.parse(said)).toMatchObject({ warnings: ['VNC_SHARES_ACCOUNT_PASSWORD'] });
  said = '';
  await create('same-words', undefined, { json: false });
  expect(said).toMatch(/^Warning VNC_SHARES_ACCOUNT_PASSWORD: /);
});

test('nobody is asked where nobody is there', async () => {
  await expect(create('asked', undefined, { yes: false })).rejects.toThrow('nobody can be asked here');
});
