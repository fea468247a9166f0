// The contract of the VNC port.

import { deepEqual, equal, notDeepEqual } from 'node:assert/strict';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';
import { lockout, rulesOfSettings } from './vnc-settings.ts';
import { countedOf, only, refusedFor, type VncSubject, type VncTraits, verdict } from './vnc-subject.ts';

const rulesOfAll = ({
  id,
  port,
  kind,
  display,
  ownerUid = 1000,
  settings: [main = 'direct'],
}: VncTraits): readonly Rule<VncSubject>[] => [
  {
    title: 'a machine without a VNC server has none',
    async run(subject) {
      deepEqual(await (await subject.given('none')).vnc.list(), []);
    },
  },
  {
    title: 'a server that runs is found with its port, its kind, its ways and its owner',
    async run(subject) {
      const server = await only((await subject.given(main)).vnc);
      const { owner, source: _, ...told } = server;
      const effective = kind === 'vncauth' ? 8 : 30;
      const reads = main === 'login' || main === 'at_start' ? { reads: 'start' } : {};
      deepEqual(told, { id, kind, effective, port, ...reads, ...(display ? { display } : {}) });
      equal(owner.uid, ownerUid);
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
    title: 'every file changes, and what is returned is what lies there and what lay there before',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
      const server = await only(vnc);
      const before = await vnc.files(server);
      const { files: written, previous } = await vnc.setPassword(server, drawSecret());
      equal(previous?.equals(countedOf(password, server)), true);
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
    title: 'a server that no manager keeps is not restarted',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
      const server = await only(vnc);
      equal(await vnc.restart(server), 'unmanaged');
      equal(await verdict(vnc.probe(server, password)), 'accepted');
      await subject.stop();
      equal(await vnc.restart(server), 'unmanaged');
    },
  },
  {
    title: 'files stay their owner’s and private to it',
    of: 'linux',
    async run(subject) {
      const { vnc } = await subject.given(main);
      const { files } = await vnc.setPassword(await only(vnc), drawSecret());
      for (const file of files) {
        const { bytes, ...facts } = await subject.factsOf(file);
        deepEqual(facts, { uid: 1000, mode: 0o600 });
        // One block, and no other for viewing.
        if (kind === 'vncauth') equal(bytes, 8);
      }
    },
  },
  {
    title: 'a password of which as much as counts is in force is refused, and looking tells so before',
    async run(subject) {
      const { vnc, password } = await subject.given(main);
      const server = await only(vnc);
      const before = await vnc.files(server);
      const same = kind === 'vncauth' ? Secret.ofText(`${password.reveal().slice(0, 8)}other`) : password;
      await refuses(vnc.demandChangeable(server, same), 'VNC_FAILED', 'unchanged');
      await vnc.demandChangeable(server, drawSecret());
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
      const source = (await vnc.setPassword(server, fresh)).files.filter(({ role }) => role === 'source');
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
  {
    title: 'a folder that leads elsewhere is refused',
    of: 'linux',
    run: refusedFor(main, 'folder_is_link', 'wrong_owner'),
  },
  {
    title: 'a folder that others may write is refused',
    of: 'linux',
    run: refusedFor(main, 'folder_writable', 'writable_by_others'),
  },
  { title: 'a file that leads elsewhere is refused', of: 'linux', run: refusedFor(main, 'file_is_link', 'symlink') },
  { title: 'a file of someone else is refused', of: 'linux', run: refusedFor(main, 'file_of_other', 'wrong_owner') },
];

export function vncRules(traits: VncTraits): readonly Rule<VncSubject>[] {
  const { settings, lockoutAfter } = traits;
  return [
    ...rulesOfAll(traits),
    ...settings.flatMap((setting) => (setting === 'none' ? [] : rulesOfSettings[setting])),
    ...(lockoutAfter === null ? [] : [lockout(lockoutAfter, settings[0] ?? 'direct')]),
  ];
}
