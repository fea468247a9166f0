// The contract of the VNC port.

import { deepEqual, equal, notDeepEqual, ok } from 'node:assert/strict';
import type { Vnc, VncFile, VncServer } from '../../../agent/ports/vnc.ts';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';

/** `wrapper` reads a copy of its source file, `direct` the file itself, `account` asks PAM, `inline` has it in its arguments. */
export type VncSetting = 'wrapper' | 'direct' | 'account' | 'inline' | 'none';
export type VncTrouble =
  | 'folder_is_link'
  | 'folder_writable'
  | 'file_is_link'
  | 'file_of_other'
  | 'source_gone'
  | 'live_unwritable';

export type VncSubject = Readonly<{
  /** Starts one server of this kind with a password of its own, and no other. */
  given(setting: VncSetting, trouble?: VncTrouble): Promise<{ vnc: Vnc; password: Secret }>;
  stop(): Promise<void>;
  /** Stops the server and starts it again, as a reboot does. */
  restart(): Promise<void>;
  /** Owner, mode and size of a file as the server sees it. */
  factsOf(file: VncFile): Promise<{ uid: number; mode: number; bytes: number }>;
}>;

async function only(vnc: Vnc): Promise<VncServer> {
  const [server, ...others] = await vnc.list();
  ok(server, 'no server was found');
  equal(others.length, 0);
  return server;
}

async function verdict(asked: ReturnType<Vnc['probe']>): Promise<string> {
  return (await asked).verdict;
}

/** Setting a password must fail with the reason, leave the files as they were and the old password in force. */
function refusedFor(trouble: VncTrouble, reason: string): Rule<VncSubject>['run'] {
  return async (subject) => {
    const { vnc, password } = await subject.given('wrapper', trouble);
    const server = await only(vnc);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', reason);
    equal(await verdict(vnc.probe(server, password)), 'accepted');
  };
}

export const vncRules: readonly Rule<VncSubject>[] = [
  {
    title: 'a machine without a VNC server has none',
    async run(subject) {
      deepEqual(await (await subject.given('none')).vnc.list(), []);
    },
  },
  {
    title: 'a server that runs is found with its port, its kind and its owner',
    async run(subject) {
      const server = await only((await subject.given('wrapper')).vnc);
      const { id, kind, effective, port, owner } = server;
      deepEqual({ id, kind, effective, port }, { id: 'tigervnc:5901', kind: 'vncauth', effective: 8, port: 5901 });
      equal(owner.uid, 1000);
      deepEqual(JSON.parse(JSON.stringify(server)), server);
    },
  },
  {
    title: 'a server that reads a copy has a source and a live file',
    async run(subject) {
      const { vnc } = await subject.given('wrapper');
      const files = await vnc.files(await only(vnc));
      deepEqual(files.map(({ role }) => role).sort(), ['live', 'source']);
    },
  },
  {
    title: 'a server that reads its source itself has no other file',
    async run(subject) {
      const { vnc } = await subject.given('direct');
      deepEqual(
        (await vnc.files(await only(vnc))).map(({ role }) => role),
        ['source'],
      );
    },
  },
  {
    title: 'the password in force is accepted, another is rejected',
    async run(subject) {
      const { vnc, password } = await subject.given('wrapper');
      const server = await only(vnc);
      equal(await verdict(vnc.probe(server, password)), 'accepted');
      equal(await verdict(vnc.probe(server, drawSecret())), 'rejected');
      equal(await verdict(vnc.probeStored(server)), 'accepted');
    },
  },
  ...(['wrapper', 'direct'] as const).map((setting) => ({
    title: `a new password is in force at once and the old one is not (${setting})`,
    async run(subject: VncSubject): Promise<void> {
      const { vnc, password } = await subject.given(setting);
      const server = await only(vnc);
      const fresh = drawSecret();
      await vnc.setPassword(server, fresh);
      equal(await verdict(vnc.probe(server, fresh)), 'accepted');
      equal(await verdict(vnc.probe(server, password)), 'rejected');
      equal(await verdict(vnc.probeStored(server)), 'accepted');
    },
  })),
  {
    title: 'every file changes, and what is returned is what lies there',
    async run(subject) {
      const { vnc } = await subject.given('wrapper');
      const server = await only(vnc);
      const before = await vnc.files(server);
      const written = await vnc.setPassword(server, drawSecret());
      deepEqual(await vnc.files(server), written);
      deepEqual(
        written.map(({ path }) => path),
        before.map(({ path }) => path),
      );
      for (const [index, file] of written.entries()) notDeepEqual(file.hash, before[index]?.hash);
    },
  },
  {
    title: 'files stay their owner’s, private to it, and hold one password alone',
    async run(subject) {
      const { vnc } = await subject.given('wrapper');
      for (const file of await vnc.setPassword(await only(vnc), drawSecret())) {
        deepEqual(await subject.factsOf(file), { uid: 1000, mode: 0o600, bytes: 8 });
      }
    },
  },
  {
    title: 'a password whose first eight characters are those in force is refused',
    async run(subject) {
      const { vnc, password } = await subject.given('wrapper');
      const server = await only(vnc);
      const before = await vnc.files(server);
      const same = Secret.ofText(`${password.reveal().slice(0, 8)}other`);
      await refuses(vnc.setPassword(server, same), 'VNC_FAILED', 'unchanged');
      deepEqual(await vnc.files(server), before);
    },
  },
  {
    title: 'after a restart the new password is still in force and the record still holds',
    async run(subject) {
      const { vnc } = await subject.given('wrapper');
      const server = await only(vnc);
      const fresh = drawSecret();
      const source = (await vnc.setPassword(server, fresh)).filter(({ role }) => role === 'source');
      await subject.restart();
      deepEqual(
        (await vnc.files(server)).filter(({ role }) => role === 'source'),
        source,
      );
      equal(await verdict(vnc.probeStored(server)), 'accepted');
      equal(await verdict(vnc.probe(server, fresh)), 'accepted');
    },
  },
  {
    title: 'the record of a server that does not run gives its source file and no verdict',
    async run(subject) {
      const { vnc, password } = await subject.given('wrapper');
      const server = await only(vnc);
      const [source] = (await vnc.files(server)).filter(({ role }) => role === 'source');
      await subject.stop();
      deepEqual(await vnc.list(), []);
      deepEqual(await vnc.files(server), [source]);
      equal(await verdict(vnc.probe(server, password)), 'unknown');
      equal(await verdict(vnc.probeStored(server)), 'unknown');
    },
  },
  {
    title: 'a record with another owner is not the server that runs',
    async run(subject) {
      const { vnc, password } = await subject.given('wrapper');
      const server = { ...(await only(vnc)), owner: { uid: 1001, gid: 1001 } };
      equal(await verdict(vnc.probe(server, password)), 'unknown');
    },
  },
  {
    title: 'a server whose password is the account’s has no file to change',
    async run(subject) {
      const { vnc, password } = await subject.given('account');
      const server = await only(vnc);
      equal(server.kind, 'account');
      deepEqual(await vnc.files(server), []);
      await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'account_kind');
      equal(await verdict(vnc.probe(server, password)), 'unknown');
    },
  },
  {
    title: 'a server whose password is in its arguments is refused, for a file would not be obeyed',
    async run(subject) {
      const { vnc, password } = await subject.given('inline');
      const server = await only(vnc);
      const before = await vnc.files(server);
      await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'inline_password');
      deepEqual(await vnc.files(server), before);
      equal(await verdict(vnc.probe(server, password)), 'accepted');
    },
  },
  {
    title: 'when the second file cannot be written the first is as it was',
    async run(subject) {
      const { vnc, password } = await subject.given('wrapper', 'live_unwritable');
      const server = await only(vnc);
      const before = await vnc.files(server);
      await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'write');
      deepEqual(await vnc.files(server), before);
      equal(await verdict(vnc.probe(server, password)), 'accepted');
    },
  },
  { title: 'a folder that leads elsewhere is refused', run: refusedFor('folder_is_link', 'wrong_owner') },
  { title: 'a folder that others may write is refused', run: refusedFor('folder_writable', 'writable_by_others') },
  { title: 'a file that leads elsewhere is refused', run: refusedFor('file_is_link', 'symlink') },
  { title: 'a file of someone else is refused', run: refusedFor('file_of_other', 'wrong_owner') },
  { title: 'a server whose source cannot be told is refused', run: refusedFor('source_gone', 'source_unknown') },
];
