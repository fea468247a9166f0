// `latchkey serve` as root: signer, and gateway with API, are two users of their own and neither is root. What each of them can
// reach is tried by processes that are those users; no account is made for it.

import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Paths, pathsIn } from '../../control-plane/config/paths.ts';
import { unavailable } from '../requirements.ts';
import { opens, Scene } from '../reset/scene.ts';
import { probe, type Try } from './probe.ts';
import { run, ServeProgram } from './program.ts';

const isRoot = process.getuid?.() === 0;
const [WEB, SIGNER, OTHER] = [60_901, 60_902, 60_903].map((id) => ({ uid: id, gid: id })) as [User, User, User];
type User = { uid: number; gid: number };

let scene: Scene;
let paths: Paths;
beforeAll(async () => {
  if (!isRoot) return;
  scene = await Scene.open();
  paths = pathsIn(scene.controlPlane.data);
});
afterAll(() => scene?.close());

/** Real, effective, saved and file-system uid, and the groups. */
function identity(pid: number): { uids: number[]; gids: number[]; groups: string } {
  const status = readFileSync(`/proc/${pid}/status`, 'ascii');
  const ids = (name: string) => (new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '').split('\t').map(Number);
  return { uids: ids('Uid'), gids: ids('Gid'), groups: /^Groups:[ \t]*(.*)$/m.exec(status)?.[1]?.trim() ?? '?' };
}

const pidOf = ({ uid }: User) => scene.controlPlane.pids().find((pid) => identity(pid).uids[0] === uid) ?? 0;
const all = ({ uid, gid }: User) => ({ uids: [uid, uid, uid, uid], gids: [gid, gid, gid, gid], groups: '' });

async function refusesAll(user: User, tries: readonly Try[]): Promise<void> {
  const answers = await probe(user, tries);
  const told = tries.map((each, n) => [each, answers[n]] as const);
  expect(told.filter(([, answer]) => answer !== 'EACCES' && answer !== 'EPERM')).toEqual([]);
  expect(answers).toHaveLength(tries.length);
}

const memoryOf = (pid: number): Try[] =>
  ['mem', 'environ', 'auxv'].map((name) => ({ do: 'read', path: `/proc/${pid}/${name}` }));

describe('as root', () => {
  test('signer and web are users of their own, for good, and the parent of both does nothing else', (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const [root = 0] = scene.controlPlane.pids();
    expect(identity(root).uids[0]).toBe(0);
    expect(identity(pidOf(WEB))).toEqual(all(WEB));
    expect(identity(pidOf(SIGNER))).toEqual(all(SIGNER));
    // Nobody can reach it over a network, or over a socket.
    const sockets = readdirSync(`/proc/${root}/fd`).filter((fd) =>
      linkOf(`/proc/${root}/fd/${fd}`).startsWith('socket:'),
    );
    const listening = readFileSync('/proc/net/tcp', 'ascii')
      .split('\n')
      .filter((line) => line.includes(' 0A '));
    const inodes = sockets.map((fd) => /\[(\d+)\]/.exec(linkOf(`/proc/${root}/fd/${fd}`))?.[1] ?? '');
    expect(listening.filter((line) => inodes.some((inode) => line.includes(` ${inode} `)))).toEqual([]);
  });

  test('the web cannot open the signer’s key, storage or administration, nor the root key, nor put others in their place', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { signerFolder, commandKey, signerDatabase, adminSocket, rootKey, rootKeyFolder, runFolder, data } = paths;
    await refusesAll(WEB, [
      { do: 'list', path: signerFolder },
      ...[commandKey, signerDatabase, `${signerDatabase}-wal`, rootKey].map((path): Try => ({ do: 'read', path })),
      { do: 'connect', path: adminSocket },
      { do: 'list', path: runFolder },
      { do: 'remove', path: paths.signerSocket },
      { do: 'write', path: join(runFolder, 'new.sock') },
      { do: 'write', path: join(data, 'signer.new') },
      { do: 'write', path: paths.trustRoot },
      { do: 'write', path: join(paths.trustFolder, '2.json') },
      ...[signerFolder, rootKeyFolder, runFolder, paths.trustFolder].map(
        (path): Try => ({ do: 'rename', path, to: `${path}.away` }),
      ),
    ]);
    // What it needs, it has: the tries above were refused to it, and not to a process that can do nothing at all.
    const needed: Try[] = [
      { do: 'connect', path: paths.signerSocket },
      { do: 'read', path: paths.trustRoot },
      { do: 'read', path: paths.sessionKey },
      { do: 'write', path: paths.database },
    ];
    expect(await probe(WEB, needed)).toEqual(['done', 'done', 'done', 'done']);
  });

  test('the web can neither signal nor trace the signer or their parent, nor another process of its own user', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const [root = 0] = scene.controlPlane.pids();
    const signer = pidOf(SIGNER);
    await refusesAll(WEB, [
      { do: 'signal', pid: signer },
      { do: 'signal', pid: root },
      ...[signer, root, pidOf(WEB)].flatMap(memoryOf),
    ]);
    await refusesAll(SIGNER, [{ do: 'signal', pid: pidOf(WEB) }, ...memoryOf(pidOf(WEB)), ...memoryOf(signer)]);
  });

  test('the signer reads nothing of the web’s, and a user without a part in it can do nothing', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const secret = [paths.database, paths.sessionKey, paths.apiKey, paths.rootKey];
    await refusesAll(
      SIGNER,
      secret.map((path) => ({ do: 'read', path })),
    );
    await refusesAll(OTHER, [
      ...[...secret, paths.commandKey, paths.signerDatabase].map((path): Try => ({ do: 'read', path })),
      { do: 'connect', path: paths.signerSocket },
      { do: 'connect', path: paths.adminSocket },
      { do: 'list', path: paths.data },
    ]);
  });

  test('a second start in their folder is refused, and they go on', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const second = await run(['serve', '--data', paths.data, '--listen', '127.0.0.1:0']);
    expect(second.stderr).toContain('latchkey: DATA_IN_USE ');
    expect(await probe(WEB, [{ do: 'connect', path: paths.signerSocket }])).toEqual(['done']);
    expect(await probe(SIGNER, [{ do: 'read', path: paths.trustRoot }])).toEqual(['done']);
  });

  test('a whole reset works, also with both online keys replaced and the signer killed before', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const guest = await scene.guest({ name: `apart-${process.pid}`, vnc: false });
    const before = pidOf(SIGNER);
    for (const role of ['command', 'session']) await scene.controlPlane.must(['keys', 'rotate', role]);
    process.kill(before, 'SIGKILL');
    while (pidOf(SIGNER) === 0 || pidOf(SIGNER) === before) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(identity(pidOf(SIGNER))).toEqual(all(SIGNER));
    const { done } = await scene.reset(['reset', guest.name]);
    expect([done.state, done.verified.account, done.verified.reboot]).toEqual(['DONE', true, true]);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
    await scene.controlPlane.kill();
    await scene.controlPlane.run();
    await scene.controlPlane.untilOnline(guest.name);
  });
});

describe('a folder in which they cannot be apart', () => {
  const closed = () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-closed-'));
    return { folder, data: join(folder, 'data') };
  };

  test('is refused where they were asked to be, and where they were before', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    const serve = (...flags: string[]) => run(['serve', '--data', data, '--listen', '127.0.0.1:0', ...flags]);
    const asked = await serve('--user', '60911', '--signer-user', '60912');
    expect([asked.code, asked.stderr]).toEqual([1, expect.stringContaining('SIGNER_NOT_APART')]);
    expect(asked.stderr).toContain(folder);
    expect(readdirSync(folder)).toEqual([]);
    chmodSync(folder, 0o711);
    const program = new ServeProgram([], data);
    await program.start();
    await program.stop();
    expect(existsSync(join(data, 'signer', 'command.key'))).toBe(true);
    chmodSync(folder, 0o700);
    expect((await serve()).stderr).toContain('SIGNER_NOT_APART');
    await program.remove();
    rmSync(folder, { recursive: true });
  });

  test('is served by one user where nobody asked, who is told so at each start', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    const program = new ServeProgram([], data);
    await program.start();
    await program.stop();
    expect(program.stderr()).toMatch(/^latchkey: SIGNER_NOT_APART /m);
    await program.remove();
    rmSync(folder, { recursive: true });
  });

  test('in whose place lies a link, or somebody else’s folder, is refused before anything is given away', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    chmodSync(folder, 0o711);
    const program = new ServeProgram([], data);
    await program.start();
    await program.stop();
    const { signerFolder } = pathsIn(data);
    rmSync(signerFolder, { recursive: true });
    mkdirSync(signerFolder);
    writeFileSync(join(folder, 'precious'), '');
    linkSync(join(folder, 'precious'), join(signerFolder, 'command.key'));
    const refused = await run(['serve', '--data', data, '--listen', '127.0.0.1:0']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('CONFIG_INVALID')]);
    expect(statSync(join(folder, 'precious')).uid).toBe(0);
    await program.remove();
    rmSync(folder, { recursive: true });
  });

  test('that is a third user’s is refused, and is theirs as before', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    chmodSync(folder, 0o711);
    for (const path of [data, pathsIn(data).signerFolder]) {
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, OTHER.uid, OTHER.gid);
    }
    const refused = await run(['serve', '--data', data, '--listen', '127.0.0.1:0']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/CONFIG_INVALID .*reason: owner/)]);
    expect([statSync(data).uid, readdirSync(data)]).toEqual([OTHER.uid, ['signer']]);
    rmSync(folder, { recursive: true });
  });

  test('below one that they could exchange is no place for them', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    const asked = ['--user', String(WEB.uid), '--signer-user', String(SIGNER.uid)];
    for (const [owner, mode] of [
      [WEB, 0o755],
      [{ uid: 0, gid: SIGNER.gid }, 0o775],
      [{ uid: 0, gid: 0 }, 0o757],
    ] as const) {
      chmodSync(folder, mode);
      chownSync(folder, owner.uid, owner.gid);
      const refused = await run(['serve', '--data', data, '--listen', '127.0.0.1:0', ...asked]);
      expect(refused.stderr).toMatch(/SIGNER_NOT_APART .*reason: their_folder/);
      expect(readdirSync(folder)).toEqual([]);
    }
    rmSync(folder, { recursive: true });
  });

  test('from which the first operator’s key was put away is served on', async (context) => {
    if (!isRoot) unavailable(context, 'two users', 'run as root');
    const { folder, data } = closed();
    chmodSync(folder, 0o711);
    const program = new ServeProgram([], data);
    await program.start();
    await program.stop();
    rmSync(pathsIn(data).apiKey);
    await program.start();
    expect(existsSync(pathsIn(data).apiKey)).toBe(false);
    await program.remove();
    rmSync(folder, { recursive: true });
  });
});

function linkOf(path: string): string {
  try {
    return process.getBuiltinModule('node:fs').readlinkSync(path);
  } catch {
    return '';
  }
}
