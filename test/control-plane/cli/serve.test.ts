// The commands against a running control plane and an agent that speaks the real protocol: nothing on this side of the
// guest is played.

import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TOTP, URI } from 'otpauth';
import { expect, onTestFinished, test } from 'vitest';
import { openRoot } from '../../../protocol/root.ts';
import { parseTrust } from '../../../protocol/trust.ts';
import { collect, type Run, spawnMain } from './programs.ts';
import { AGENT_MADE, enrolAgent, type SpeakingAgent } from './speaking-agent.ts';

type Installation = Readonly<{
  folder: string;
  run(parameters: readonly string[], input?: string): Promise<Run>;
  restart(): Promise<void>;
  /** Makes a join token, enrols a machine of that name with it and connects it. */
  machine(name: string, onState?: Parameters<typeof enrolAgent>[2]): Promise<SpeakingAgent>;
}>;

async function installation(): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-serve-'));
  const env = { PATH: process.env['PATH'], LATCHKEY_DATA: join(folder, 'data'), LATCHKEY_STATE: join(folder, 'state') };
  let { child, url } = await serve('127.0.0.1:0', env);
  const agents: SpeakingAgent[] = [];
  onTestFinished(async () => {
    for (const agent of agents) await agent.disconnect();
    await ended(child);
    rmSync(folder, { recursive: true });
  });

  const run = (parameters: readonly string[], input = '') => collect(spawnMain(parameters, env), input);
  return {
    folder,
    run,
    async restart() {
      await ended(child);
      ({ child, url } = await serve(`127.0.0.1:${new URL(url).port}`, env));
    },
    async machine(name, onState) {
      const { json } = await run(['token', 'create', '--name', name, '--json']);
      const address = `ws://127.0.0.1:${new URL(url).port}/agent/v1`;
      const agent = await enrolAgent(address, String(json[0]?.['token']), onState);
      agents.push(agent);
      await agent.connect();
      return agent;
    },
  };
}

function serve(listen: string, env: NodeJS.ProcessEnv): Promise<{ child: ChildProcess; url: string }> {
  const child = spawnMain(['serve', '--listen', listen, '--json'], env);
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(stderr)));
    child.stdout?.once('data', (line) => resolve({ child, url: String(JSON.parse(String(line)).url) }));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exit;
}

test('an operator with a key resets account and VNC passwords from start to end', async () => {
  const place = await installation();
  const key = join(place.folder, 'admin.jwk');
  const added = await place.run(['operator', 'add', 'admin', '--generate-key', key, '--json']);
  expect(added).toMatchObject({ code: 0, json: [{ name: 'admin', totpUri: null, apiKey: null }] });
  expect(statSync(key).mode & 0o777).toBe(0o600);
  expect((await place.run(['operator', 'list'])).stdout).toContain('admin');
  await place.machine('web-1');
  expect((await place.run(['vm', 'list'])).stdout).toMatch(/web-1 +online/);

  const run = await place.run(['reset', 'web-1', '--vnc', '--yes', '--key-file', key, '--json', '--reveal']);
  expect(run.stderr).toBe('');
  expect(run.json.at(-1)).toMatchObject({
    event: 'done',
    state: 'DONE',
    account: 'root',
    verified: { account: true, vnc: true, reboot: true },
    secrets: AGENT_MADE,
  });
  expect(run.code).toBe(0);
  const op = String(run.json.at(-1)?.['op']);
  expect((await place.run(['op', 'list'])).stdout).toContain(op);
  const { json } = await place.run(['op', 'show', op, '--json']);
  expect(json[0]).toMatchObject({ collected: true, sealed: null });
});

test('an operator with an authenticator resets a typed password, and a code works once', async () => {
  const place = await installation();
  const { json } = await place.run(['operator', 'add', 'admin', '--json']);
  const totp = URI.parse(String(json[0]?.['totpUri']));
  if (!(totp instanceof TOTP)) throw new TypeError('no TOTP address');
  const agent = await place.machine('web-1');
  const code = totp.generate();
  const parameters = ['reset', 'web-1', '--yes', '--code', code];
  const run = await place.run([...parameters, '--password-stdin'], 'chosen:Pass9\n');
  expect(run).toMatchObject({ code: 0, stderr: expect.not.stringContaining('latchkey:') });
  expect(agent.typed).toEqual({ account: 'chosen:Pass9' });
  const again = await place.run(parameters);
  expect(again.code).toBe(3);
  expect(again.stderr).toContain('latchkey: FACTOR_REFUSED ');
});

test('a watch survives a restart of the control plane and shows the password at the end', async () => {
  const place = await installation();
  const key = join(place.folder, 'admin.jwk');
  await place.run(['operator', 'add', 'admin', '--generate-key', key]);
  const agent: SpeakingAgent = await place.machine('web-1', async (state) => {
    if (state !== 'REBOOTING') return;
    await agent.disconnect();
    await place.restart();
    await agent.connect();
  });
  const run = await place.run(['reset', 'web-1', '--yes', '--key-file', key]);
  expect(run.code).toBe(0);
  expect(run.stdout).toContain('The control plane is back.');
  expect(run.stdout).toContain(AGENT_MADE.account);
});

test('an operation for a machine that is away is done when it comes', async () => {
  const place = await installation();
  const key = join(place.folder, 'admin.jwk');
  await place.run(['operator', 'add', 'admin', '--generate-key', key]);
  const agent = await place.machine('web-1');
  await agent.disconnect();
  await expect.poll(async () => (await place.run(['vm', 'list'])).stdout, { timeout: 15_000 }).toContain('offline');
  const typed = await place.run(['reset', 'web-1', '--yes', '--key-file', key, '--password-stdin'], 'chosen:Pass9\n');
  expect(typed.stderr).toContain('latchkey: AGENT_OFFLINE ');
  const queued = await place.run(['reset', 'web-1', '--yes', '--key-file', key, '--detach', '--json']);
  expect(queued.json.at(-1)).toMatchObject({ event: 'detached', state: 'QUEUED' });
  const busy = await place.run(['reset', 'web-1', '--yes', '--key-file', key]);
  expect(busy).toMatchObject({ code: 3, stderr: expect.stringContaining('latchkey: BUSY ') });
  await agent.connect();
  const watched = await place.run(['op', 'watch', String(queued.json.at(-1)?.['op'])]);
  expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining(AGENT_MADE.account) });
});

test('a queued operation can be cancelled, and then exits with 6', async () => {
  const place = await installation();
  const key = join(place.folder, 'admin.jwk');
  await place.run(['operator', 'add', 'admin', '--generate-key', key]);
  const agent = await place.machine('web-1');
  await agent.disconnect();
  await expect.poll(async () => (await place.run(['vm', 'list'])).stdout, { timeout: 15_000 }).toContain('offline');
  const queued = await place.run(['reset', 'web-1', '--yes', '--key-file', key, '--detach', '--json']);
  const op = String(queued.json.at(-1)?.['op']);
  expect(await place.run(['op', 'cancel', op])).toMatchObject({ code: 0, stdout: 'Cancelled: nothing was changed.\n' });
  expect((await place.run(['op', 'watch', op])).code).toBe(6);
});

test('a new operator gets an API key of their own, and a second adding says that both exist', async () => {
  const place = await installation();
  const { json } = await place.run(['operator', 'add', 'bob', '--json']);
  expect(json[0]).toMatchObject({ totpUri: expect.stringMatching(/^otpauth:/), apiKey: expect.stringMatching(/^lk_/) });
  const again = await place.run(['operator', 'add', 'bob']);
  expect(again).toMatchObject({ code: 3, stderr: expect.stringContaining('latchkey: ALREADY_EXISTS ') });
});

test('a revoked join token enrols nobody', async () => {
  const place = await installation();
  const { json } = await place.run(['token', 'create', '--json']);
  expect((await place.run(['token', 'revoke', String(json[0]?.['id'])])).code).toBe(0);
  expect((await place.run(['token', 'list'])).stdout).toContain('revoked');
  const url = JSON.parse(readFileSync(join(place.folder, 'data', 'address'), 'utf8')) as { url: string };
  const address = `ws://127.0.0.1:${new URL(url.url).port}/agent/v1`;
  await expect(enrolAgent(address, String(json[0]?.['token']))).rejects.toThrow('JOIN_TOKEN_INVALID');
});

test('a join token that is written into a file is shown nowhere else, and one that cannot be written is none', async () => {
  const place = await installation();
  const path = join(place.folder, 'oem-string');
  const made = await place.run(['token', 'create', '--as', 'smbios', '-o', path]);
  const token = /lkj_[A-Za-z0-9_-]{43}$/.exec(readFileSync(path, 'utf8'))?.[0] ?? 'none';
  expect([made.code, made.stdout]).toEqual([0, `Wrote ${path}.\n`]);
  expect(made.stderr).toContain(`-smbios type=11,path=${path}`);
  expect(made.stderr).not.toContain(token);
  const url = JSON.parse(readFileSync(join(place.folder, 'data', 'address'), 'utf8')) as { url: string };
  await enrolAgent(`ws://127.0.0.1:${new URL(url.url).port}/agent/v1`, token);

  const failed = await place.run(['token', 'create', '--as', 'nocloud', '-o', join(path, 'seed'), '--json']);
  expect([failed.code, failed.json.at(-1)?.['code']]).toEqual([1, 'PATH_UNWRITABLE']);
  const { json } = await place.run(['token', 'list', '--json']);
  expect(json.map(({ state }) => state).toSorted()).toEqual(['revoked', 'used']);
  expect((await place.run(['token', 'create', '--as', 'cmdline'])).code).toBe(2);
});

test('the exported trust file is one that an agent accepts', async () => {
  const place = await installation();
  const path = join(place.folder, 'trust.json');
  expect((await place.run(['trust', 'export', '-o', path])).code).toBe(0);
  const trust = parseTrust(JSON.parse(readFileSync(path, 'utf8')));
  expect((await openRoot(trust.root)).version).toBe(1);
  const wrong = await place.run(['trust', 'export', '--agent-url', 'ws://192.0.2.1/agent/v1', '-o', path]);
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('latchkey: TRUST_INVALID ') });
});
