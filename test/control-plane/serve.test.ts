// The whole program as users start it: it survives being killed, and where it cannot start it says why in one line.

import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { adminClient } from '../../control-plane/signer/client.ts';
import { type SigningKey, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { run, ServeProgram } from './program.ts';

const seed = () => Uint8Array.from(randomBytes(32));

/** Each start is two processes that read their sources; several tests run at once. */
const PROGRAM_TIMEOUT_MS = 120_000;

let program: ServeProgram;
beforeEach(() => {
  program = new ServeProgram();
});
afterEach(() => program.remove(), PROGRAM_TIMEOUT_MS);

const eventually = async <T>(probe: () => Promise<T | null>, what: string): Promise<T> => {
  for (const until = performance.now() + 15_000; performance.now() < until; ) {
    const found = await probe().catch(() => null);
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain for ${what}`);
};

async function registeredKey(): Promise<SigningKey> {
  const key = await signingKeyFromSeed(seed());
  await adminClient(pathsIn(program.data).adminSocket)('operator.add', { name: 'admin', key: key.jwk });
  return key;
}

describe('a first start', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  test('makes everything private, and the next start opens the same installation', async () => {
    await program.start();
    const before = (await program.ask('GET', '/v1/whoami')).body;
    expect(before).toMatchObject({ operator: 'admin', project: 'default' });
    const open: string[] = [];
    for (const entry of readdirSync(program.data, { recursive: true, encoding: 'utf8' })) {
      if ((statSync(join(program.data, entry)).mode & 0o077) !== 0) open.push(entry);
    }
    // Where root's processes are users of their own they share what is public, and the way to one socket.
    const shared = ['address', 'installation.json', 'run', 'run/signer.sock', 'trust', 'trust/root.json'];
    const isRoot = process.getuid?.() === 0;
    expect(open.toSorted()).toEqual(isRoot ? shared : []);
    expect(statSync(program.data).mode & 0o077).toBe(isRoot ? 0o011 : 0);
    expect(await program.stop()).toBe(0);
    expect(existsSync(pathsIn(program.data).address)).toBe(false);
    await program.start();
    expect((await program.ask('GET', '/v1/whoami')).body).toEqual(before);
  });

  test('that was cut off anywhere is carried on by the next one', async () => {
    await program.start();
    const { iss } = (await program.ask('GET', '/v1/whoami')).body;
    const key = program.apiKey;
    await program.stop();
    // What a power loss would leave: the keys and the root are there, what is written last is not.
    const paths = pathsIn(program.data);
    for (const path of [paths.installation, paths.database]) rmSync(path);
    writeFileSync(`${paths.installation}.new`, '{"v":1,"is');
    await program.start();
    expect((await program.ask('GET', '/v1/whoami')).body['iss']).toBe(iss);
    expect(program.apiKey).toBe(key);
    await program.stop();
    for (const path of [paths.installation, paths.trustRoot, paths.commandKey, paths.database]) rmSync(path);
    await program.start();
    expect((await program.ask('GET', '/healthz')).status).toBe(200);
  });
});

describe('a control plane that is killed', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  test('takes its signer with it, and one whose signer is killed gets another', async () => {
    await program.start();
    await registeredKey();
    const signers = () => program.signers();
    const [first] = signers();
    process.kill(first ?? 0, 'SIGKILL');
    const second = await eventually(async () => signers().find((pid) => pid !== first) ?? null, 'another signer');
    await eventually(async () => adminClient(pathsIn(program.data).adminSocket)('operator.list', {}), 'its answer');
    await program.kill();
    await eventually(async () => (signers().includes(second) ? null : true), 'the signer to end');
  });
});

describe('a signer that outlives its control plane', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  test('does not take the sockets of the next one with it', async () => {
    await program.start();
    const [old = 0] = program.signers();
    process.kill(old, 'SIGSTOP');
    await program.kill();
    const again = program.start();
    // Long enough for the next one to have bound its sockets, did it not wait.
    await eventually(async () => (program.signers().length === 2 ? true : null), 'the next signer');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    process.kill(old, 'SIGCONT');
    await again;
    await eventually(async () => (program.signers().length === 1 ? true : null), 'the old signer to end');
    await registeredKey();
  });
});

test('whoever reads the output of a control plane may go before it ends', { timeout: PROGRAM_TIMEOUT_MS }, async () => {
  await program.start();
  program.deafen();
  expect(await program.stop()).toBe(0);
  expect(program.stderr()).not.toContain('EPIPE');
});

describe('a start that cannot be', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  const oneLine = (stderr: string, code: string) => {
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr.startsWith(`latchkey: ${code} `)).toBe(true);
    expect(stderr).not.toMatch(/\bat .*:\d+:\d+|node:internal/);
  };
  const serve = (...flags: string[]) => run(['serve', '--listen', '127.0.0.1:0', ...flags]);
  const folder = () => {
    const path = mkdtempSync(join(tmpdir(), 'latchkey-bad-'));
    folders.push(path);
    return path;
  };
  const folders: string[] = [];
  afterEach(() => {
    for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
  });

  test('because the address is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { code, stderr, stdout } = await run(['serve', '--data', folder(), '--listen', `127.0.0.1:${port}`]);
    other.close();
    expect([code, stdout]).toEqual([1, '']);
    oneLine(stderr, 'PORT_IN_USE');
  });

  test('because another one serves the same folder, which goes on undisturbed', async () => {
    await program.start();
    const { code, stderr } = await serve('--data', program.data);
    expect(code).toBe(1);
    oneLine(stderr, 'DATA_IN_USE');
    expect((await program.ask('GET', '/healthz')).status).toBe(200);
    expect(existsSync(pathsIn(program.data).address)).toBe(true);
  });

  test('because the database is from a newer version, which is left as it is', async () => {
    await program.start();
    await program.stop();
    const { database } = pathsIn(program.data);
    const db = new DatabaseSync(database);
    db.exec('PRAGMA journal_mode=DELETE; PRAGMA user_version = 999');
    db.close();
    const before = readFileSync(database);
    const { code, stderr } = await serve('--data', program.data);
    expect(code).toBe(1);
    oneLine(stderr, 'DATABASE_NEWER');
    expect(readFileSync(database).equals(before)).toBe(true);
  });

  test('because the database is no database', async () => {
    await program.start();
    await program.stop();
    writeFileSync(pathsIn(program.data).database, 'x'.repeat(8_192));
    const { code, stderr } = await serve('--data', program.data);
    expect(code).toBe(1);
    oneLine(stderr, 'DATABASE_UNUSABLE');
  });

  test('because the folder cannot be made', async () => {
    const file = join(folder(), 'file');
    writeFileSync(file, '');
    for (const data of [join(file, 'data'), '/proc/latchkey']) {
      const { code, stderr } = await serve('--data', data);
      expect(code).toBe(1);
      oneLine(stderr, 'PATH_UNWRITABLE');
    }
  });

  test('because the folder holds somebody else’s files, which stay as they are', async () => {
    const data = folder();
    writeFileSync(join(data, 'thesis.tex'), '', { mode: 0o644 });
    const { code, stderr } = await serve('--data', data);
    expect(code).toBe(1);
    oneLine(stderr, 'CONFIG_INVALID');
    expect(readdirSync(data)).toEqual(['thesis.tex']);
  });

  test('because a file of the installation is malformed, missing or of another one', async () => {
    await program.start();
    await program.stop();
    const paths = pathsIn(program.data);
    for (const [path, text] of [
      [paths.installation, '{'],
      [paths.installation, '{}'],
      [paths.installation, '{"v":2}'],
      [paths.trustRoot, '{}'],
      [paths.trustRoot, null],
      [paths.sessionKey, JSON.stringify({ v: 1, seed: toBase64url(seed()) })],
      [paths.commandKey, JSON.stringify({ v: 1, seed: toBase64url(seed()) })],
      [paths.commandKey, null],
    ] as const) {
      const good = readFileSync(path);
      // Moved and not made anew: whose a key is matters, too.
      if (text === null) renameSync(path, `${path}.kept`);
      else writeFileSync(path, text);
      const { code, stderr } = await serve('--data', program.data);
      expect(code).toBe(1);
      oneLine(stderr, 'CONFIG_INVALID');
      if (text === null) renameSync(`${path}.kept`, path);
      else writeFileSync(path, good);
    }
    await program.start();
  });

  test('because the clock is before the installation’s beginning', async () => {
    await program.start();
    await program.stop();
    const { installation } = pathsIn(program.data);
    const record = JSON.parse(readFileSync(installation, 'utf8'));
    writeFileSync(installation, JSON.stringify({ ...record, created_at: '2999-01-01T00:00:00.000Z' }));
    const { code, stderr } = await serve('--data', program.data);
    expect(code).toBe(1);
    oneLine(stderr, 'CLOCK_WRONG');
  });

  test('because an option is wrong: nothing is written', async () => {
    const parent = folder();
    const data = join(parent, 'data');
    for (const flags of [
      ['--listen', '0.0.0.0:8420'],
      ['--listen', 'nowhere'],
      ['--listen', '127.0.0.1:70000'],
      ['--public-url', 'ftp://x'],
      ['--agent-url', 'http://x'],
      ['--tls-cert', '/nonexistent'],
    ]) {
      const { code, stderr } = await run(['serve', '--data', data, ...flags]);
      expect(code).toBe(1);
      oneLine(stderr, 'CONFIG_INVALID');
    }
    expect((await run(['serve', '--unknown'])).code).toBe(2);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('because the signer cannot: its reason is the program’s', async () => {
    const data = folder();
    mkdirSync(join(data, 'signer', 'signer.db'), { recursive: true });
    const { code, stderr } = await serve('--data', data);
    expect(code).toBe(1);
    oneLine(stderr, 'DATABASE_UNUSABLE');
  });
});
