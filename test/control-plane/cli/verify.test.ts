// Choosing how to verify, by the program itself against a whole control plane: the method that is asked for is the one that is
// used, a passkey is said to need a browser, and a second person approves what they read.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { countingBytes } from '../../protocol/samples.ts';
import { MAIN } from '../program.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
let folder: string;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine('web-1');
  folder = mkdtempSync(join(tmpdir(), 'latchkey-verify-'));
});
afterEach(async () => {
  await world.stop();
  rmSync(folder, { recursive: true });
});

type Ended = Readonly<{ code: number | null; out: string; err: string; op: string }>;

/** Runs the program as that operator; `answer` is what it reads once it asks for it on standard error. */
async function latchkey(
  parameters: readonly string[],
  { apiKey = world.apiKey, answer }: { apiKey?: string; answer?: () => string } = {},
): Promise<Ended> {
  const apiKeyFile = join(folder, `key-${apiKey.slice(3, 9)}`);
  writeFileSync(apiKeyFile, apiKey, { mode: 0o600 });
  const child = spawn(process.execPath, [MAIN, ...parameters, '--json'], {
    env: {
      PATH: process.env['PATH'],
      LATCHKEY_URL: world.origin,
      LATCHKEY_API_KEY_FILE: apiKeyFile,
      LATCHKEY_DATA: join(folder, 'data'),
      LATCHKEY_STATE: join(folder, 'state'),
    },
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
    if (answer && err.includes('was mailed to')) child.stdin.end(`${answer()}\n`);
  });
  if (!answer) child.stdin.end();
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err, op: /"op":"(op_[0-9a-z]{26})"/.exec(out)?.[1] ?? '' };
}

/** A reset that is left alone once it was approved, of a machine that gets ready for it. */
async function reset(parameters: readonly string[], more: Parameters<typeof latchkey>[1] = {}): Promise<Ended> {
  const ended = latchkey(['reset', 'web-1', '--yes', '--detach', ...parameters], more);
  const gone = ended.then(() => 'gone');
  await Promise.race([agent.answerPrepare(), gone]);
  return ended;
}

const mailedCode = () => /^ {4}([0-9]{8})$/m.exec(world.letters.at(-1)?.text ?? '')?.[1] ?? '';

describe('a reset', () => {
  test('is verified by a code that comes by mail while the program waits for it', async () => {
    await world.admin('operator.add', { name: 'admin', email: 'admin@example.org' });
    const ended = await reset(['--verify', 'email', '--code-stdin'], { answer: mailedCode });
    expect(ended).toMatchObject({
      code: expect.any(Number),
      err: expect.stringContaining('mailed to a***@example.org'),
    });
    expect(await world.operation(ended.op)).toMatchObject({ approved: true });
  });

  test('is verified by a recovery code, however it was written down', async () => {
    const [code = ''] = (await world.admin('operator.add', { name: 'admin', recovery: true })).recovery_codes;
    const ended = await reset(['--verify', 'recovery', '--code', code.toUpperCase().replaceAll('-', ' ')]);
    expect(await world.operation(ended.op)).toMatchObject({ approved: true });
  });

  test('cannot be verified by a passkey, and says so before anything is asked for', async () => {
    const ended = await latchkey(['reset', 'web-1', '--yes', '--verify', 'passkey', '--code-stdin']);
    expect([ended.code, ended.err]).toEqual([1, expect.stringContaining('latchkey: PASSKEY_NEEDS_BROWSER ')]);
    expect((await world.ask('GET', '/v1/operations')).body['items']).toEqual([]);
  });

  test('by somebody who has nothing but passkeys says so, too, and leaves nothing behind', async () => {
    await world.admin('policy.set', { methods: ['passkey'] });
    const ended = await reset(['--code', '123456']);
    expect([ended.code, ended.err]).toEqual([3, expect.stringContaining('latchkey: FACTOR_UNKNOWN ')]);
    expect(await world.operation(ended.op)).toMatchObject({ state: 'CANCELLED' });
  });

  test.each([
    [['--verify', 'sms', '--code', '123456']],
    [['--verify', 'key', '--code', '123456']],
    [['--verify', 'email', '--code', '12345678']],
    [['--verify', 'recovery', '--code', '123456']],
    [['--code', '123456', '--code-stdin']],
    [['--verify', 'totp']],
  ])('with %j is a wrong use', async (parameters) => {
    expect((await latchkey(['reset', 'web-1', '--yes', ...parameters])).code).toBe(2);
    expect((await world.ask('GET', '/v1/operations')).body['items']).toEqual([]);
  });
});

describe('a second person', () => {
  test('approves what the first one asked for, and the first one cannot', async () => {
    const files = { admin: join(folder, 'admin.jwk'), bob: join(folder, 'bob.jwk') };
    const keys = { admin: countingBytes(0xc0), bob: countingBytes(0xc1) };
    const { body } = await world.ask('POST', '/v1/operators', { name: 'bob' });
    for (const name of ['admin', 'bob'] as const) {
      const { jwk } = await signingKeyFromSeed(Uint8Array.from(keys[name]));
      await world.admin('operator.add', { name, key: jwk });
      writeFileSync(files[name], JSON.stringify({ ...jwk, d: toBase64url(keys[name]) }), { mode: 0o600 });
    }
    await world.admin('policy.set', { second_person: true });
    const first = await reset(['--key-file', files.admin]);
    expect(first.out).toContain('"event":"proven"');
    expect(await world.operation(first.op)).toMatchObject({ approved: false, awaits_second: true });
    const apiKey = String(body['api_key']);
    const alone = await latchkey(['op', 'approve', first.op, '--yes', '--key-file', files.admin]);
    expect([alone.code, alone.err]).toEqual([3, expect.stringContaining('AUTHZ_INVALID')]);
    const borrowed = await latchkey(['op', 'approve', first.op, '--yes', '--code', '123456'], { apiKey });
    expect([borrowed.code, borrowed.err]).toEqual([3, expect.stringContaining('FACTOR_UNKNOWN')]);
    const second = await latchkey(['op', 'approve', first.op, '--yes', '--key-file', files.bob], { apiKey });
    expect([second.code, second.err]).toEqual([0, '']);
    expect(second.out).toContain('"operator":"admin"');
    expect(await world.operation(first.op)).toMatchObject({ approved: true, awaits_second: false });
  });
});
