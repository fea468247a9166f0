// The program as scripts and people call it: arguments, exit codes, standard output and error.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { OP } from '../../protocol/samples.ts';
import { keyFile, latchkey, type Scene, scene, vncauth } from './scene.ts';
import { AFTER, otherEk, scripts } from './scripted-machine.ts';
import { API_KEY, GENERATED } from './scripted-server.ts';

const STACK = /\n\s+at /;

describe('exit codes', () => {
  test.each([
    ['DONE', 0],
    ['FAILED', 1],
    ['INTERRUPTED', 1],
    ['REFUSED', 3],
    ['PARTIAL', 4],
    ['EXPIRED', 5],
    ['CANCELLED', 6],
  ] as const)('%s is %i', async (state, code) => {
    const place = await scene({ beats: scripts[state] });
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place), '--json']);
    expect(run.code).toBe(code);
    expect(run.json.at(-1)).toMatchObject({ event: 'done', op: OP, state });
    // Looking back at it later says the same.
    expect((await latchkey(place, ['op', 'watch', OP, '--json'])).code).toBe(code);
  });

  test('OVERDUE and --timeout are 5', async () => {
    const overdue = await scene({ beats: [...scripts.DONE.slice(0, 5), { overdue: true }] });
    const parameters = ['reset', 'web-1', '--yes', '--key-file', keyFile(overdue)];
    expect((await latchkey(overdue, parameters)).code).toBe(5);
    const slow = await scene({ beats: scripts.DONE.slice(0, 2) });
    const run = await latchkey(slow, [...parameters.slice(0, -1), keyFile(slow), '--timeout', '1']);
    expect(run.code).toBe(5);
    expect(run.stdout).toContain(`latchkey op watch ${OP}`);
  });

  test.each([
    [['reset']],
    [['reset', 'web-1', '--no-such-option']],
    [['reset', 'web-1', '--grace', '-1']],
    [['reset', 'web-1', '--grace', '86401']],
    [['reset', 'web-1', '--yes', '--code', '12345']],
    [['reset', 'web-1', '--yes']],
    [['reset', 'web-1', '--key-file', '/nowhere']],
    [['reset', 'web-1', '--yes', '--code', '123456', '--key-file', '/nowhere']],
    [['reset', 'web-1', '--yes', '--code', '123456', '--vnc-type']],
    [['reset', 'web-1', '--yes', '--code', '123456', '--account', '-R']],
    [['reset', 'web-1', '--yes', '--code', '123456', '--type', '--password-stdin']],
    [['op', 'list', '--state', 'SOMETHING']],
    [['op']],
  ])('a wrong use is 2: %j', async (parameters) => {
    const place = await scene();
    const run = await latchkey(place, parameters);
    expect(run.code).toBe(2);
    expect(run.stderr).not.toMatch(STACK);
    expect(place.server.seen.requests).not.toContain('POST /v1/operations');
  });
});

describe('errors', () => {
  test('are one line with code, sentence and hint, and never a stack', async () => {
    const place = await scene();
    const run = await latchkey(place, ['vm', 'show', 'web-9']);
    expect(run).toMatchObject({ code: 3, stdout: '' });
    expect(run.stderr).toMatch(/^latchkey: NOT_FOUND There is no such thing here\..* — Check its name\.\n$/);
  });

  test('are one JSON object too, where JSON was asked for', async () => {
    const place = await scene();
    const run = await latchkey(place, ['vm', 'show', 'web-9', '--json']);
    expect(run.json).toEqual([
      { event: 'error', code: 'NOT_FOUND', sentence: expect.any(String), detail: '', hint: expect.any(String) },
    ]);
  });

  test.each([
    ['SERVER_UNREACHABLE', { LATCHKEY_URL: 'http://127.0.0.1:9' }],
    ['CONFIG_INVALID', { LATCHKEY_URL: 'http://192.0.2.1' }],
    ['CONFIG_INVALID', { LATCHKEY_API_KEY_FILE: '/nowhere' }],
    ['SERVER_UNREACHABLE', { LATCHKEY_URL: '', LATCHKEY_API_KEY_FILE: '' }],
    ['UNAUTHENTICATED', { LATCHKEY_URL: 'https://192.0.2.1', LATCHKEY_API_KEY_FILE: '' }],
  ] as const)('of the connection: %s with %j', async (code, env) => {
    const run = await latchkey(await scene(), ['vm', 'list'], { env });
    expect(run.stderr).toContain(`latchkey: ${code} `);
    expect(run.stderr).not.toMatch(STACK);
    expect(run.code).toBe(code === 'UNAUTHENTICATED' ? 3 : 1);
  });

  test('name a request that asks for a reset by another root', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--method', 'rescue', '--yes', '--code', '123456']);
    expect(run.code).toBe(3);
    expect(run.stderr).toContain('latchkey: REROOT_REFUSED ');
    expect(place.server.seen.requests).toEqual([]);
  });

  test('name a key of the machine that changed', async () => {
    const place = await scene();
    const parameters = ['reset', 'web-1', '--yes', '--key-file', keyFile(place)];
    expect((await latchkey(place, parameters)).code).toBe(0);
    place.server.script.ek = otherEk;
    const run = await latchkey(place, parameters);
    expect(run.code).toBe(3);
    expect(run.stderr).toContain('latchkey: CLONE_SUSPECTED ');
  });
});

describe('progress', () => {
  const parameters = (place: Scene) => ['reset', 'web-1', '--yes', '--key-file', keyFile(place)];

  test('says with each state how long the one before it lasted', async () => {
    const place = await scene();
    const { stdout } = await latchkey(place, parameters(place));
    // A scripted state lasts as long as the next one's name is.
    expect(stdout).toMatch(/Z {2}PASSWORD_SET {2}\(SECRET_READY took 12 s\)\n/);
    expect(stdout).toMatch(/Z {2}BOOTED {2}\(REBOOTING took 6\.0 s\)\n/);
    const shown = (await latchkey(place, ['op', 'show', OP])).stdout;
    expect(shown).toMatch(/Time spent:\n( {2}[A-Z_]+ {2}.+\n)*? {2}REBOOTING {2}6\.0 s, by the machine’s clock\n/);
  });

  test('says it in JSON with whose clock it was', async () => {
    const place = await scene();
    const { json } = await latchkey(place, [...parameters(place), '--json']);
    expect(json.find((line) => (line as { state?: string }).state === 'PASSWORD_SET')).toMatchObject({
      event: 'state',
      from: 'SECRET_READY',
      spent_ms: 12_000,
      measured_by: 'machine',
    });
  });
});

describe('passwords', () => {
  test.each([
    ['reset', 'web-1', '--password', 'artificial-Word-1'],
    ['reset', 'web-1', '--password=artificial-Word-1'],
    ['vnc', 'reset', 'web-1', '--password', 'artificial-Word-1'],
  ])('cannot be given as an argument (%s %s %s)', async (...parameters) => {
    const place = await scene();
    const run = await latchkey(place, [...parameters, '--yes', '--code', '123456']);
    expect(run.code).toBe(2);
    expect(place.server.seen.requests).toEqual([]);
  });

  test('come from standard input one a line, and meet the rule before anything is sealed', async () => {
    const place = await scene({ vnc: [vncauth] });
    const parameters = ['reset', 'web-1', '--vnc', '--password-stdin', '--vnc-password-stdin', '--yes'];
    const proof = ['--key-file', keyFile(place)];
    const weak = await latchkey(place, [...parameters, ...proof], { input: 'lettersOnly\nchosen2Vnc\n' });
    expect(weak.code).toBe(3);
    expect(weak.stderr).toContain('latchkey: PASSWORD_POLICY ');
    expect(place.server.seen.requests).not.toContain('POST /v1/operations/:op/intent');
    const good = await latchkey(place, [...parameters, ...proof], { input: 'chosen:Pass9\nchosen2Vnc\n' });
    expect(good.code).toBe(0);
    expect(place.server.seen.typed).toEqual({ account: 'chosen:Pass9', vnc: 'chosen2Vnc' });
    expect(good.stdout + good.stderr + weak.stdout + weak.stderr).not.toMatch(/chosen|lettersOnly/);
  });

  test('of a VNC reset come from standard input alone', async () => {
    const place = await scene({ vnc: [vncauth] });
    const parameters = ['vnc', 'reset', 'web-1', '--password-stdin', '--yes', '--key-file', keyFile(place)];
    expect((await latchkey(place, parameters, { input: 'chosen2Vnc\r\n' })).code).toBe(0);
    expect(place.server.seen.typed).toEqual({ vnc: 'chosen2Vnc' });
  });

  test('that were generated are printed once at the end, and their key is gone', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place)]);
    expect(run.stdout.split(GENERATED.account)).toHaveLength(2);
    expect(existsSync(join(place.folder, 'state', 'recipients', `${OP}.json`))).toBe(false);
    expect(place.server.seen.collected).toBe(1);
    expect((await latchkey(place, ['op', 'watch', OP])).stdout).not.toContain(GENERATED.account);
  });

  test('are in the JSON only where --reveal asks, and wait for a later watch where it does not', async () => {
    const place = await scene();
    const parameters = ['reset', 'web-1', '--yes', '--key-file', keyFile(place), '--json'];
    const run = await latchkey(place, parameters);
    expect(run.stdout + run.stderr).not.toContain(GENERATED.account);
    expect(place.server.seen.collected).toBe(0);
    const watch = await latchkey(place, ['op', 'watch', OP, '--json', '--reveal']);
    expect(watch.json.at(-1)).toMatchObject({ secrets: { account: GENERATED.account, vnc: null } });
    expect(place.server.seen.collected).toBe(1);
  });

  test('can be collected by a watch after a detached reset', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place), '--detach']);
    expect(run.code).toBe(0);
    expect(run.stdout).not.toContain(GENERATED.account);
    expect((await latchkey(place, ['op', 'watch', OP])).stdout).toContain(GENERATED.account);
  });

  test('wait for a later watch after Ctrl-C, which leaves the operation running', async () => {
    const place = await scene({ beats: scripts.DONE.slice(0, 3) });
    const parameters = ['reset', 'web-1', '--yes', '--key-file', keyFile(place)];
    const run = await latchkey(place, parameters, { interruptAt: 'SECRET_READY' });
    expect(run.code).toBe(130);
    expect(run.stdout).toContain(`latchkey op watch ${OP}`);
    expect(run.stdout).not.toContain(GENERATED.account);
    expect(place.server.seen.cancelled).toBe(0);
    await place.server.play(scripts.DONE.slice(3));
    expect((await latchkey(place, ['op', 'watch', OP])).stdout).toContain(GENERATED.account);
  });

  test('are printed after PARTIAL, where they are in force', async () => {
    const place = await scene({ beats: scripts.PARTIAL });
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place)]);
    expect(run.stdout).toContain(GENERATED.account);
    expect(run.stdout).toContain('REBOOT_CANCELLED');
  });

  test.each(['FAILED', 'INTERRUPTED'] as const)('are said not to be in force after %s', async (state) => {
    const place = await scene({ beats: scripts[state] });
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place)]);
    expect(run.stdout).toContain('NOT in force');
    expect(run.stdout).not.toContain(GENERATED.account);
  });

  test('in force are printed also when the machine is overdue', async () => {
    const place = await scene({ beats: [...scripts.DONE.slice(0, 5), { overdue: true }] });
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place)]);
    expect(run.stdout).toContain(GENERATED.account);
  });
});

describe('what is told', () => {
  test('before the confirmation: account, servers that truncate, restart and what it can cost', async () => {
    const place = await scene({
      vnc: [vncauth],
      account: { name: 'root', uid: 0, state: 'no_password' },
      warnings: ['ACCOUNT_HAD_NO_PASSWORD'],
    });
    const parameters = ['reset', 'web-1', '--vnc', '--grace', '90', '--yes', '--key-file', keyFile(place)];
    const { stderr } = await latchkey(place, parameters);
    for (const part of ['root (uid 0)', 'ACCOUNT_HAD_NO_PASSWORD', 'first 8 characters', '1 min 30 s', 'keyrings']) {
      expect(stderr).toContain(part);
    }
  });

  test('before the confirmation: what a restart of the VNC server can cost, where one was agreed to', async () => {
    const servers = [
      { ...vncauth, uid: 1000, display: 'own' },
      { server: 'wayvnc:5902', kind: 'login', effective: 30, uid: 1001, reads: 'start' },
    ] as const;
    const told = async (...more: string[]) => {
      const place = await scene({ vnc: [...servers] });
      const parameters = ['vnc', 'reset', 'web-1', '--yes', '--key-file', keyFile(place), ...more];
      const run = await latchkey(place, parameters);
      const asked = place.server.seen.bodies as { vnc?: { restart?: boolean } }[];
      return { ...run, restart: asked.find(({ vnc }) => vnc?.restart !== undefined)?.vnc?.restart };
    };
    const without = await told('--server', 'wayvnc:5902');
    expect(without.stderr).toContain('wayvnc:5902 runs with uid 1001');
    expect(without.stderr).toContain('--restart-vnc');
    expect(without.stderr).not.toContain('may be restarted');
    const shown = await told('--server', 'wayvnc:5902', '--restart-vnc');
    expect(shown.stderr).toContain('its viewers are cut off');
    const own = await told('--server', vncauth.server, '--restart-vnc');
    expect(own.stderr).toContain('every program on its display ends');
    expect([without.restart, shown.restart, own.restart]).toEqual([false, true, true]);
  });

  test('consent to a restart of a VNC server is nothing without a reset of it', async () => {
    const run = await latchkey(await scene(), ['reset', 'web-1', '--restart-vnc']);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain('need --vnc');
  });

  test('the last JSON line has the demonstration’s fields', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place), '--json']);
    expect(run.json.at(-1)).toMatchObject({
      event: 'done',
      op: OP,
      state: 'DONE',
      account: 'root',
      verified: { account: true, vnc: null, reboot: true },
      bootIdAfter: AFTER,
      warnings: [],
    });
    expect(run.json.filter(({ event }) => event === 'state').map(({ state }) => state)).toContain('PASSWORD_SET');
  });

  test('no text from a machine reaches the terminal as a control sequence', async () => {
    const place = await scene({ os: 'Debian\u001b[2J\u0007\r\u202e 13' });
    for (const parameters of [
      ['vm', 'list'],
      ['vm', 'show', 'web-1'],
    ]) {
      const { stdout } = await latchkey(place, parameters);
      expect(stdout).toContain('Debian');
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/);
    }
  });
});

describe('secrets of this program', () => {
  test('a proof key that others can read is refused', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place, 0o644)]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('CONFIG_INVALID');
  });

  test('a broken proof key is not quoted', async () => {
    const place = await scene();
    const path = join(place.folder, 'broken.jwk');
    writeFileSync(path, '{"kty":"OKP","d":"artificial-secret"', { mode: 0o600 });
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', path, '--json']);
    expect(run.stdout + run.stderr).not.toContain('artificial-secret');
  });

  test('the API key is never printed', async () => {
    const place = await scene();
    const run = await latchkey(place, ['reset', 'web-1', '--yes', '--key-file', keyFile(place)]);
    expect(run.stdout + run.stderr).not.toContain(API_KEY);
    const agents = join(place.folder, 'state', 'agents');
    expect(statSync(agents).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(place.folder, 'api-key'), 'utf8')).toContain(API_KEY);
  });
});
