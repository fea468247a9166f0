// The contract of the VNC port.

import { deepEqual, equal, notDeepEqual } from 'node:assert/strict';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';
import { lockout, rulesOfSettings } from './vnc-settings.ts';
import { only, refusedFor, type VncSubject, type VncTraits, verdict } from './vnc-subject.ts';

const rulesOfAll = ({ id, port, settings: [main = 'direct'] }: VncTraits): readonly Rule<VncSubject>[] => [
  {
    title: 'a machine without a VNC server has none',
    async run(subject) {
      deepEqual(await (await subject.given('none')).vnc.list(), []);
    },
  },
  {
    title: 'a server that runs is found with its port, its kind and its owner',
    async run(subject) {
      const server = await only((await subject.given(main)).vnc);
      const { kind, effective, owner } = server;
      deepEqual({ id: server.id, kind, effective, port: server.port }, { id, kind: 'vncauth', effective: 8, port });
      equal(owner.uid, 1000);
      deepEqual(JSON.parse(JSON.stringify(server)), server);
    },
  },
  {
    title: 'the password in force is accepted, another is rejected',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
      const server = await only(vnc);
      equal(await verdict(vnc.probe(server, password)), 'accepted');
      equal(await verdict(vnc.probe(server, drawSecret())), 'rejected');
      equal(await verdict(vnc.probeStored(server)), 'accepted');
    },
  },
  {
    title: 'every file changes, and what is returned is what lies there',
    async run(subject) {
      const { vnc } = await subject.given(main);
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
    title: 'looking whether it can be changed changes nothing and is no failed login, however often',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
      const server = await only(vnc);
      const before = await vnc.files(server);
      for (let looks = 0; looks < 12; looks += 1) await vnc.demandChangeable(server);
      deepEqual(await vnc.files(server), before);
      equal(await verdict(vnc.probe(server, password)), 'accepted');
    },
  },
  {
    title: 'files stay their owner’s, private to it, and hold one password alone',
    async run(subject) {
      const { vnc } = await subject.given(main);
      for (const file of await vnc.setPassword(await only(vnc), drawSecret())) {
        deepEqual(await subject.factsOf(file), { uid: 1000, mode: 0o600, bytes: 8 });
      }
    },
  },
  {
    title: 'a password whose first eight characters are those in force is refused',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
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
      const { vnc } = await subject.given(main);
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
      const { vnc, password } = await subject.given(main);
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
      const { vnc, password } = await subject.given(main);
      const server = { ...(await only(vnc)), owner: { uid: 1001, gid: 1001 } };
      equal(await verdict(vnc.probe(server, password)), 'unknown');
    },
  },
  { title: 'a folder that leads elsewhere is refused', run: refusedFor(main, 'folder_is_link', 'wrong_owner') },
  {
    title: 'a folder that others may write is refused',
    run: refusedFor(main, 'folder_writable', 'writable_by_others'),
  },
  { title: 'a file that leads elsewhere is refused', run: refusedFor(main, 'file_is_link', 'symlink') },
  { title: 'a file of someone else is refused', run: refusedFor(main, 'file_of_other', 'wrong_owner') },
];

export function vncRules(traits: VncTraits): readonly Rule<VncSubject>[] {
  const { settings, lockoutAfter } = traits;
  return [
    ...rulesOfAll(traits),
    ...settings.flatMap((setting) => (setting === 'none' ? [] : rulesOfSettings[setting])),
    ...(lockoutAfter === null ? [] : [lockout(lockoutAfter, settings[0] ?? 'direct')]),
  ];
}
