// What a real agent in a real guest refuses although the signature is right, and that refusing touches nothing.

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import { rerootMembers, rerootMethods, rerootReboots } from '../../protocol/reroot.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { unavailable } from '../requirements.ts';
import { putStart, readTrace, servicesAround, strace, traceExecutors } from './around.ts';

let issuer: Issuer;
let guest: Guest;
let account: Record<string, unknown>;

/** Everything that a reset, or a way around one, could have touched; VNC's own session files move by themselves. */
const TOUCHED =
  'find /etc /boot /root /home/ada/.vnc/passwd /run/nextroot -printf "%p %T@ %C@ %s %m\\n" 2>/dev/null | sort';

beforeAll(async () => {
  issuer = await Issuer.start();
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  guest = await createAttachedGuest(attachment, { name: `refusals-${process.pid}`, services: servicesAround });
  await putStart(guest);
  await guest.boot();
  await issuer.frame('synced');
  // The password program leaves a trace when it is started; it lies outside what is compared.
  await guest.exec([
    'sh',
    '-c',
    'mv /usr/bin/passwd /usr/bin/passwd.real; printf "#!/bin/sh\\ntouch /var/passwd-was-started\\nexec /usr/bin/passwd.real \\"\\$@\\"\\n" > /usr/bin/passwd; chmod 755 /usr/bin/passwd',
  ]);
  if (strace.met) await traceExecutors(guest);
  const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(new Uint8Array(32).fill(7))).jwk };
  account = { name: null, uid: null, secret, unlock: false };
});

afterAll(async () => {
  await guest?.destroy();
  await issuer?.stop();
});

const state = async () => {
  const { stdout } = await guest.exec(['sh', '-c', TOUCHED]);
  return { files: createHash('sha256').update(stdout).digest('hex'), bootId: guest.bootId(), reboots: guest.reboots };
};

/** Commands that were refused so far. */
let sent = 0;

/** Sends one signed command and expects the refusal, signed, with nothing touched. */
async function expectRefusal(
  code: string,
  change: { intent?: Record<string, unknown>; command?: Record<string, unknown> },
) {
  sent += 1;
  const ready = await issuer.prepare();
  const before = await state();
  await issuer.command(ready, issuer.intent(ready, { account, ...change.intent }), change.command);
  const end = await issuer.end(ready.op);
  expect({ state: end.state, code: end.code }).toEqual({ state: 'REFUSED', code });
  expect(await state()).toEqual(before);
  expect((await guest.exec(['test', '-e', '/var/passwd-was-started'])).code).toBe(1);
  const { stdout } = await guest.exec(['cat', '/var/lib/latchkey-agent/executor/journal.jsonl']);
  expect(stdout).toContain(ready.op);
}

describe('a correctly signed reset by reroot is refused, signed, journaled, and touches nothing', () => {
  it.each(rerootMethods)('method %s', (method) => expectRefusal('REROOT_REFUSED', { intent: { method } }));
  it.each(rerootMembers)('member %s in the intent', (name) =>
    expectRefusal('REROOT_REFUSED', { intent: { [name]: '/x' } }),
  );
  it.each(rerootMembers)('member %s in the command', (name) =>
    expectRefusal('REROOT_REFUSED', { command: { [name]: '/x' } }),
  );
  it.each(rerootReboots)('reboot kind %s', (kind) =>
    expectRefusal('REROOT_REFUSED', { intent: { reboot: { kind, grace_s: 0 } } }),
  );
  it('a member deep inside', () =>
    expectRefusal('REROOT_REFUSED', { intent: { account: { ...account, chroot: '/mnt' } } }));
});

describe('what only looks like it is refused as well', () => {
  it.each(['Reroot', ' reroot', 'rerооt', 'kexec ', 'chrооt', 'RESCUE', 'online ', 'ONLINE'])(
    'method %j is not in the schema',
    (method) => expectRefusal('SCHEMA_INVALID', { intent: { method } }),
  );
  it.each([' soft', 'Kexec', 'fіrmware', 'normal '])('reboot kind %j is not in the schema', (kind) =>
    expectRefusal('SCHEMA_INVALID', { intent: { reboot: { kind, grace_s: 0 } } }),
  );
  it.each(['Root', 'sysroot ', 'сhroot', 'kernel_args'])('member %j is not in the schema', (name) =>
    expectRefusal('SCHEMA_INVALID', { intent: { [name]: '/x' } }),
  );
  it('an unknown member', () => expectRefusal('SCHEMA_INVALID', { intent: { force: true } }));
  it('another agent', () => expectRefusal('AUD_MISMATCH', { command: { aud: 'agt_00000000000000000000000000' } }));
  it('another installation', () =>
    expectRefusal('ISS_MISMATCH', { command: { iss: 'ins_00000000000000000000000000' } }));
  it('another nonce', () => expectRefusal('NONCE_UNKNOWN', { command: { cn: 'A'.repeat(43) } }));
  it('a reset without a factor', () =>
    expectRefusal('AUTHZ_INVALID', { command: { authz: { operator: 'test-operator', method: 'session', at: 1 } } }));
  it('an account that is not there', () =>
    expectRefusal('ACCOUNT_NOT_FOUND', { intent: { account: { ...account, name: 'nobody-here' } } }));
  it('an account that was made anew', () =>
    expectRefusal('ACCOUNT_NOT_FOUND', { intent: { account: { ...account, uid: 4711 } } }));
});

it('not one of these refusals started a program, or wrote anything but the journal', async (context) => {
  if (!strace.met) unavailable(context, strace.name, strace.command);
  const { programs, changes } = await readTrace(guest);
  // The executor itself: its wrapper, and the Node that it hands over to.
  const own = programs.filter((program) => /(^|\/)(latchkey-agent|node)$/.test(program));
  expect(programs.filter((program) => !own.includes(program))).toEqual([]);
  expect(own.filter((program) => program.endsWith('/node')).length).toBeGreaterThan(sent);
  const journal = changes.filter((call) => call.includes('"/var/lib/latchkey-agent/executor/'));
  expect(journal.length).toBeGreaterThan(sent);
  expect(changes.filter((call) => !journal.includes(call) && !call.includes('"/dev/null"'))).toEqual([]);
});
