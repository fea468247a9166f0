// Accounts as real machines have them, reset by a real agent in a real guest with real PAM: how each ends, what its receipts
// say of it, and what was left alone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { directory, pwquality } from '../agent/adapters/account-packages.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { unavailable } from '../requirements.ts';
import { drawPassword } from './scene.ts';

let issuer: Issuer;
let guest: Guest;
let secret: object;

const LOCKOUT = `auth required pam_faillock.so preauth dir=/var/lib/faillock deny=2
auth sufficient pam_unix.so nodelay
auth [default=die] pam_faillock.so authfail dir=/var/lib/faillock deny=2
account required pam_unix.so
`;
const UNIX = 'password required pam_unix.so use_authtok yescrypt\n';

beforeAll(async () => {
  issuer = await Issuer.start();
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  guest = await createAttachedGuest(attachment, {
    name: `accounts-${process.pid}`,
    vnc: false,
    accounts: { bob: {}, eve: { uid: 1002 }, kim: { uid: 1003 }, sys: { uid: 120, shell: '/usr/sbin/nologin' } },
  });
  await guest.boot();
  await issuer.frame('synced');
  for (const name of ['ada', 'bob', 'eve', 'kim']) {
    await must(['chpasswd'], `${name}:${drawPassword()}\n`);
  }
  await must(['passwd', '-l', 'bob']);
  await must(['chage', '-E', '0', 'eve']);
  await must(['chage', '-d', '0', 'kim']);
  await guest.exec(['mkdir', '-p', '/var/lib/faillock', '/etc/ssh']);
  await guest.writeFile('/etc/pam.d/su', LOCKOUT);
  await guest.writeFile('/etc/nsswitch.conf', 'passwd: files extrausers\ngroup: files\nshadow: files extrausers\n');
  await guest.exec(['mkdir', '-p', '/var/lib/extrausers']);
  await guest.writeFile('/var/lib/extrausers/passwd', 'dora:x:5000:5000::/tmp:/bin/sh\n');
  await guest.writeFile('/var/lib/extrausers/shadow', 'dora:*:20000:0:99999:7:::\n');
  const trace = 'touch /var/passwd-was-started';
  await must([
    'sh',
    '-c',
    `mv /usr/bin/passwd /usr/bin/passwd.real; printf '#!/bin/sh\\n${trace}\\nexec /usr/bin/passwd.real "$@"\\n' > /usr/bin/passwd; chmod 755 /usr/bin/passwd`,
  ]);
  secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(new Uint8Array(32).fill(7))).jwk };
});

afterAll(async () => {
  await guest?.destroy();
  await issuer?.stop();
});

async function must(argv: readonly string[], input = ''): Promise<void> {
  const { code, stderr } = await guest.exec([...argv], { input });
  if (code !== 0) throw new Error(`${argv[0]}: ${stderr}`);
}

/** Two wrong passwords, given through PAM. */
async function failToSignIn(name: string): Promise<void> {
  for (let n = 0; n < 2; n += 1) {
    const { code } = await guest.exec(['su', name, '-c', 'true'], { input: 'not-the-password\n' });
    if (code === 0) throw new Error('a wrong password was accepted');
  }
}

const fieldsOf = async (name: string): Promise<string[]> => {
  const lines = (await guest.readFile('/etc/shadow')).toString().split('\n');
  return lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
};

/** Orders a reset of that account and waits for its end, over the reboot where there is one. */
async function reset(
  name: string | null,
  { unlock = false } = {},
): Promise<{ end: Receipt; ready: readonly string[] }> {
  const ready = await issuer.prepare(name);
  await issuer.command(ready, issuer.intent(ready, { account: { name, uid: null, secret, unlock } }));
  return { end: await issuer.end(ready.op), ready: ready.warnings };
}

/** A reset that reaches its end in another boot, and a link that is there again after it. */
async function resetDone(name: string | null, options: { unlock?: boolean } = {}) {
  const outcome = await reset(name, options);
  await issuer.connected(guest.reboots);
  expect(outcome.end).toMatchObject({
    state: 'DONE',
    code: null,
    detail: { verified: { account: true, reboot: true } },
  });
  return outcome;
}

describe('what is refused leaves the account as it was, and starts no password program', () => {
  it.each([
    ['a locked account, without unlock', 'bob', 'ACCOUNT_LOCKED'],
    ['an expired account', 'eve', 'ACCOUNT_EXPIRED'],
    ['an account that is not there', 'nobody-here', 'ACCOUNT_NOT_FOUND'],
  ])('%s', async (_, name, code) => {
    const before = await fieldsOf(name);
    const { end } = await reset(name);
    expect(end).toMatchObject({ state: 'REFUSED', code });
    expect(await fieldsOf(name)).toEqual(before);
    expect((await guest.exec(['test', '-e', '/var/passwd-was-started'])).code).toBe(1);
  });
});

it('an account that only a directory knows is not found, and no password program is started', async (context) => {
  if (!directory.met) unavailable(context, directory.name, directory.command);
  await must(['id', 'dora']);
  expect((await reset('dora')).end).toMatchObject({ state: 'REFUSED', code: 'ACCOUNT_NOT_FOUND' });
  expect((await guest.exec(['test', '-e', '/var/passwd-was-started'])).code).toBe(1);
});

describe('a guest that does not want the password says why in the receipt', () => {
  it.for([
    ['pam_pwquality', 'policy', 'password requisite pam_pwquality.so retry=1 dictcheck=0 minlen=60 enforce_for_root\n'],
    ['a module that denies everything', 'token', 'password requisite pam_deny.so\n'],
  ])('%s', async ([name, reason, line], context) => {
    if (name === pwquality.name && !pwquality.met) unavailable(context, pwquality.name, pwquality.command);
    await guest.writeFile('/etc/pam.d/passwd', `${line}${UNIX}`);
    const [before, boot] = [await fieldsOf('ada'), guest.bootId()];
    const { end } = await reset('ada');
    await guest.writeFile('/etc/pam.d/passwd', 'password required pam_unix.so obscure yescrypt\n');
    expect(end).toMatchObject({ state: 'FAILED', code: 'PASSWD_FAILED', detail: { reason } });
    expect(await fieldsOf('ada')).toEqual(before);
    expect(guest.bootId()).toBe(boot);
  });
});

describe('a guest that cannot set the password says why, and the account and the machine stay as they were', () => {
  const HOLD_LOCK = `perl -e 'use Fcntl; sysopen(F, "/etc/.pwd.lock", O_WRONLY|O_CREAT, 0600) or die;
    my $l = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; sleep 600' > /dev/null 2>&1 & echo $! > /srv/holder`;
  const CONFINED = 'exec setpriv --bounding-set=-dac_override --inh-caps=-dac_override /usr/bin/passwd.real "$@"';

  it.each([
    ['another program holds the database', 'SHADOW_LOCKED', 'lock', HOLD_LOCK, 'kill $(cat /srv/holder)'],
    [
      '96 /etc is read-only',
      'FS_READONLY',
      'readonly',
      'mount --bind /etc /etc; mount -o remount,bind,ro /etc',
      'umount /etc',
    ],
    [
      '98 /etc is full',
      'PASSWD_FAILED',
      'full',
      'mkdir /srv/etc; mount -t tmpfs -o size=4m tmpfs /srv/etc; cp -a /etc/. /srv/etc/; mount --bind /srv/etc /etc; cat /dev/zero > /etc/fill 2> /dev/null || true',
      'umount /etc /srv/etc',
    ],
    [
      'there is no password program',
      'PASSWD_FAILED',
      'missing',
      'mv /usr/bin/passwd /srv/passwd',
      'mv /srv/passwd /usr/bin/passwd',
    ],
    [
      'the kernel denies the program its files, as it does for a security module',
      'PASSWD_FAILED',
      'token',
      `cp -a /usr/bin/passwd /srv/passwd; printf '%s\\n' '#!/bin/sh' '${CONFINED}' > /usr/bin/passwd; chmod 555 /etc`,
      'chmod 755 /etc; mv /srv/passwd /usr/bin/passwd',
    ],
    [
      'the kernel denies its start',
      'PASSWD_FAILED',
      'permission',
      'chmod 644 /usr/bin/passwd',
      'chmod 755 /usr/bin/passwd',
    ],
  ])('%s: %s, %s', async (_, code, reason, make, undo) => {
    const [before, boot] = [await fieldsOf('ada'), guest.bootId()];
    await must(['sh', '-ec', make]);
    const { end } = await reset('ada');
    await must(['sh', '-ec', undo]);
    expect(end).toMatchObject({ state: 'FAILED', code, detail: { reason } });
    expect([await fieldsOf('ada'), guest.bootId()]).toEqual([before, boot]);
    expect((await guest.exec(['pgrep', '-x', 'passwd.real'])).code).toBe(1);
  });

  it('a second account with uid 0 is ambiguous', async () => {
    await must(['sh', '-c', 'cp -a /etc/passwd /srv/passwd; echo "toor:x:+0:0::/root:/bin/sh" >> /etc/passwd']);
    expect((await reset(null)).end).toMatchObject({ state: 'REFUSED', code: 'ACCOUNT_AMBIGUOUS' });
    await must(['mv', '/srv/passwd', '/etc/passwd']);
  });
});

describe('accounts as people keep them', () => {
  it('a hash in /etc/passwd is changed there, and proven after the boot', async () => {
    await must(['sed', '-i', 's/^ada:x:/ada:*:/', '/etc/passwd']);
    const shadow = await fieldsOf('ada');
    await resetDone('ada');
    expect((await guest.readFile('/etc/passwd')).toString()).toMatch(/^ada:\$/m);
    expect(await fieldsOf('ada')).toEqual(shadow);
  });

  it('a name with a capital and a dot, in files with comments and short lines', async () => {
    await must([
      'sh',
      '-c',
      'echo "John.Doe:x:1100:1100::/tmp:/bin/bash" >> /etc/passwd; echo "# by hand" >> /etc/shadow',
    ]);
    await must(['sh', '-c', 'printf "John.Doe:*:20000:0:99999\\njunk\\nlea:*:1\\n" >> /etc/shadow']);
    const { end } = await resetDone('John.Doe');
    expect(end.detail.account).toBe('John.Doe');
    expect((await fieldsOf('John.Doe'))[1]).toMatch(/^\$/);
  });
});

describe('what is done says what still keeps the owner out', () => {
  it('root, where the SSH server takes no password from root', async () => {
    await guest.writeFile('/etc/ssh/sshd_config', 'UsePAM yes\n');
    const { end, ready } = await resetDone(null);
    expect(ready).toContain('SSH_ROOT_PASSWORD_OFF');
    expect(end.warnings).toContain('SSH_ROOT_PASSWORD_OFF');
    expect(end.warnings).toContain('ACCOUNT_HAD_NO_PASSWORD');
  });

  it('an account that must change its password, kept out by wrong ones: the flag goes, the lockout stays', async () => {
    await failToSignIn('kim');
    const { end } = await resetDone('kim');
    expect((await fieldsOf('kim'))[2]).not.toBe('0');
    expect(end.warnings).toContain('FAILLOCK_ACTIVE');
    expect(end.warnings).not.toContain('SSH_ROOT_PASSWORD_OFF');
  });

  it('a locked account, kept out by wrong passwords, with unlock: both are over', async () => {
    await failToSignIn('bob');
    const { end, ready } = await resetDone('bob', { unlock: true });
    expect(ready).toContain('FAILLOCK_ACTIVE');
    expect(end.warnings).not.toContain('FAILLOCK_ACTIVE');
    expect((await fieldsOf('bob'))[1]).toMatch(/^\$/);
    // The other account's lockout is none of its business.
    const { stdout } = await guest.exec(['faillock', '--dir', '/var/lib/faillock', '--user', 'kim']);
    expect(stdout).toMatch(/ V\n/);
  });

  it('an account of the system: it gets the password that was asked for, and its shell is told', async () => {
    const { end } = await resetDone('sys');
    expect(end.warnings).toContain('ACCOUNT_SHELL_NOLOGIN');
  });
});
