// Rules of the VNC port that hold for servers of one setting only: where the password is, and when it is read.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';
import { only, refusedFor, type VncSetting, type VncSubject, verdict } from './vnc-subject.ts';

const inForceAtOnce = (setting: VncSetting): Rule<VncSubject> => ({
  title: `a new password is in force at once and the old one is not (${setting})`,
  async run(subject) {
    const { vnc, password } = await subject.given(setting);
    const server = await only(vnc);
    const fresh = drawSecret();
    await vnc.setPassword(server, fresh);
    equal(await verdict(vnc.probe(server, fresh)), 'accepted');
    equal(await verdict(vnc.probe(server, password)), 'rejected');
    equal(await verdict(vnc.probeStored(server)), 'accepted');
  },
});

const inForceAtStart = (setting: VncSetting): Rule<VncSubject> => ({
  title: `a server that reads its password at its start has the old one in force until then (${setting})`,
  async run(subject) {
    const { vnc, password } = await subject.given(setting);
    const server = await only(vnc);
    equal(server.reads, 'start');
    const fresh = drawSecret();
    await vnc.setPassword(server, fresh);
    equal(await verdict(vnc.probe(server, fresh)), 'rejected');
    equal(await verdict(vnc.probeStored(server)), 'rejected');
    equal(await verdict(vnc.probe(server, password)), 'accepted');
    await subject.restart();
    equal(await verdict(vnc.probeStored(server)), 'accepted');
    equal(await verdict(vnc.probe(server, password)), 'rejected');
  },
});

/** Rules of single settings; a kind of server keeps those of the settings that it has. */
export const rulesOfSettings: Readonly<Record<Exclude<VncSetting, 'none'>, readonly Rule<VncSubject>[]>> = {
  wrapper: [
    inForceAtOnce('wrapper'),
    {
      title: 'a server that reads a copy has a source and a live file',
      async run(subject) {
        const { vnc } = await subject.given('wrapper');
        const files = await vnc.files(await only(vnc));
        deepEqual(files.map(({ role }) => role).sort(), ['live', 'source']);
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
    {
      title: 'a server whose source cannot be told is refused',
      run: refusedFor('wrapper', 'source_gone', 'source_unknown'),
    },
  ],
  direct: [
    inForceAtOnce('direct'),
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
  ],
  plain: [
    inForceAtOnce('plain'),
    {
      title: 'of a file of several passwords only the new one is left',
      async run(subject) {
        const { vnc, other } = await subject.given('plain');
        ok(other);
        const server = await only(vnc);
        equal(await verdict(vnc.probe(server, other)), 'accepted');
        const {
          files: [file],
        } = await vnc.setPassword(server, drawSecret());
        ok(file);
        equal(await verdict(vnc.probe(server, other)), 'rejected');
        deepEqual(await subject.factsOf(file), { uid: 1000, mode: 0o600, bytes: 9 });
      },
    },
    {
      title: 'a password that its file would not hold as it is is refused',
      async run(subject) {
        const { vnc, password } = await subject.given('plain');
        const server = await only(vnc);
        await refuses(vnc.setPassword(server, Secret.ofText(`#${drawSecret().reveal()}`)), 'VNC_FAILED', 'unstorable');
        equal(await verdict(vnc.probe(server, password)), 'accepted');
      },
    },
  ],
  at_start: [inForceAtStart('at_start')],
  login: [
    inForceAtStart('login'),
    {
      title: 'of its configuration nothing but the password changes',
      async run(subject) {
        const { vnc, password } = await subject.given('login');
        const server = await only(vnc);
        const fresh = drawSecret();
        const before = await subject.contentOf(server.source ?? '');
        await vnc.setPassword(server, fresh);
        const after = await subject.contentOf(server.source ?? '');
        equal(after, before.replace(password.reveal(), fresh.reveal()));
      },
    },
    {
      title: 'all of a password of thirty characters counts',
      async run(subject) {
        const { vnc } = await subject.given('login');
        const server = await only(vnc);
        const fresh = drawSecret('x'.repeat(20));
        await vnc.setPassword(server, fresh);
        await subject.restart();
        equal(await verdict(vnc.probe(server, fresh)), 'accepted');
        const text = fresh.reveal();
        for (const near of [text.slice(0, 29), text.slice(0, 8), `${text.slice(0, 29)}y`]) {
          equal(await verdict(vnc.probe(server, Secret.ofText(near))), 'rejected');
        }
      },
    },
  ],
  account: [
    {
      title: 'a server whose password is the account’s has no file to change',
      async run(subject) {
        const { vnc, password } = await subject.given('account');
        const server = await only(vnc);
        equal(server.kind, 'account');
        deepEqual(await vnc.files(server), []);
        await refuses(vnc.demandChangeable(server), 'VNC_FAILED', 'account_kind');
        await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'account_kind');
        equal(await verdict(vnc.probe(server, password)), 'unknown');
      },
    },
  ],
  inline: [
    {
      title: 'a server whose password is in its arguments is refused, for a file would not be obeyed',
      async run(subject) {
        const { vnc, password } = await subject.given('inline');
        const server = await only(vnc);
        const before = await vnc.files(server);
        await refuses(vnc.demandChangeable(server), 'VNC_FAILED', 'inline_password');
        await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'inline_password');
        deepEqual(await vnc.files(server), before);
        equal(await verdict(vnc.probe(server, password)), 'accepted');
      },
    },
  ],
  unclear: [
    {
      title: 'a server whose password is where no file can be replaced is refused',
      run: refusedFor('unclear', undefined, 'source_unknown'),
    },
  ],
  open: [
    {
      title: 'a server that asks for no password is refused, and proves nothing',
      async run(subject) {
        const { vnc, password } = await subject.given('open');
        const server = await only(vnc);
        await refuses(vnc.demandChangeable(server), 'VNC_FAILED', 'source_unknown');
        await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'source_unknown');
        deepEqual(await vnc.probe(server, password), { verdict: 'unknown', reason: 'open' });
      },
    },
  ],
};

export const lockout = (failures: number, main: VncSetting): Rule<VncSubject> => ({
  title: 'a server that has locked its callers out says nothing about a password',
  async run(subject) {
    const { vnc, password } = await subject.given(main);
    const server = await only(vnc);
    equal(await verdict(vnc.probe(server, drawSecret())), 'rejected');
    for (let failed = 1; failed < failures; failed += 1) await vnc.probe(server, drawSecret());
    deepEqual(await vnc.probe(server, password), { verdict: 'unknown', reason: 'blocked' });
  },
});
