// One guest, and one thing after another broken in it: the doctor names it on the machine, `latchkey vm check` names it from
// outside, and a reset that is tried all the same ends with that code. Looking changes nothing, and the guest is whole again.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readKey } from '../../control-plane/config/key-file.ts';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { parseCanonical } from '../../protocol/canonical.ts';
import { fromBase64url } from '../../protocol/keys.ts';
import type { WireCheck } from '../../protocol/preflight.ts';
import { type RootPayload, type SignedRoot, signRoot } from '../../protocol/root.ts';
import { GUEST_NODE } from '../agent/contracts/guest-run.ts';
import { demandSystemd } from '../lab/fixture.ts';
import { type Guest, KERNEL_COMMAND_LINE } from '../lab/guest.ts';
import { findVncService, VNC_PORT } from '../lab/services.ts';
import { unavailable } from '../requirements.ts';
import { drawPassword, Scene, vncSays } from './scene.ts';

type Findings = Readonly<{
  can: { account: boolean; vnc: boolean };
  checks: readonly (WireCheck & { title: string; sentence: string; hint: string })[];
}>;

const name = `checked-${process.pid}`;
const STATE = '/var/lib/latchkey-agent';
let scene: Scene;
let guest: Guest;

beforeAll(async () => {
  scene = await Scene.open();
  guest = await scene.guest({ name });
  await inGuest('chpasswd', `root:${drawPassword()}\n`);
});
afterAll(() => scene?.close());

async function inGuest(script: string, input = ''): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-c', script], { input });
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

async function doctor(): Promise<Findings & { exit: number }> {
  const { code, stdout, stderr } = await guest.exec(['/usr/bin/latchkey-agent', 'doctor', '--json']);
  expect(stderr).toBe('');
  return { exit: code, ...(JSON.parse(stdout) as Findings) };
}

async function check(): Promise<Findings & { exit: number; code: string | null }> {
  for (;;) {
    const { code, stdout, stderr } = await scene.run(['vm', 'check', name, '--json']);
    if (stderr.includes('RATE_LIMITED')) await new Promise((resolve) => setTimeout(resolve, 1_000));
    else return { exit: code, ...(JSON.parse(stdout) as Findings & { code: string | null }) };
  }
}

const status = async () => {
  const { code, stdout } = await guest.exec(['/usr/bin/latchkey-agent', 'status', '--json']);
  return { exit: code, said: JSON.parse(stdout) as Record<string, unknown> };
};

const notOk = ({ checks }: Findings) => checks.filter(({ verdict }) => verdict !== 'ok').map(wordsOf);
const refusals = ({ checks }: Findings) => checks.filter(({ verdict }) => verdict === 'refused').map(wordsOf);
const wordsOf = ({ name: row, code, reason }: WireCheck) => [row, code, reason].filter(Boolean).join(' ');

describe('a healthy machine', () => {
  it('is ok in every row, here and from outside, and both end with 0', async () => {
    const [here, outside] = await Promise.all([doctor(), check()]);
    expect(notOk(here)).toEqual([]);
    expect(notOk(outside)).toEqual([]);
    expect({ here: here.exit, outside: outside.exit }).toEqual({ here: 0, outside: 0 });
    const rows = ({ checks }: Findings) => [...new Set(checks.map((row) => row.name))];
    expect(rows(here).filter((row) => !rows(outside).includes(row))).toEqual(['control_plane', 'link', 'executor']);
    expect(rows(outside).filter((row) => !rows(here).includes(row))).toEqual([]);
    const { checks } = here;
    expect(checks.find((row) => row.name === 'trust')?.about).toMatch(/^version 1, ends in 36[45] days$/);
    expect(checks.find((row) => row.name === 'clock')?.about).toMatch(/^(exact|[0-9] s (ahead|behind))$/);
  });

  it('is told in plain words', async () => {
    const { stdout } = await guest.exec(['/usr/bin/latchkey-agent', 'doctor']);
    expect(stdout).toMatch(/^This machine can be reset\.\n( {2}ok {7}[^\n]+\n)+$/);
    const outside = await scene.run(['vm', 'check', name]);
    expect(outside.stdout).toMatch(new RegExp(`^✔ ${name} can be reset now\\.\\n( {2}ok {7}[^\\n]+\\n)+$`));
  });

  it('is left as it was by any number of looks, and its VNC server has counted none of them', async (context) => {
    const traces = () =>
      inGuest(
        `find /etc ${STATE}/executor /home /root /boot /run/systemd /run/nextroot -printf "%p %T@ %C@ %s %m\\n" 2>/dev/null | sort`,
      );
    const before = await traces();
    // Each doctor looks twice: by itself, and through the executor that it asks.
    for (let looks = 0; looks < 3; looks += 1) await Promise.all([doctor(), check()]);
    expect(await traces()).toBe(before);
    if (findVncService() === undefined) {
      unavailable(context, 'tigervnc-standalone-server', 'apt-get install tigervnc-standalone-server');
    }
    expect(await vncSays(guest, guest.vncPassword ?? '')).toBe('accepted');
  });

  it('answers as well where executors are started over pipes, and none of them stays behind', async () => {
    const said = await inGuest(`${GUEST_NODE} /usr/lib/latchkey-agent/test/agent/link/pipes-in-guest.ts`);
    expect(JSON.parse(said)).toEqual({ report: { open: null, root: 1 }, notOk: [], prepared: 'ready', left: 0 });
  });

  it('may be looked at by root alone', async () => {
    for (const command of ['doctor', 'status']) {
      const { code, stderr } = await guest.exec(['/usr/bin/latchkey-agent', command], { user: 'ada' });
      expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/^latchkey-agent: FORBIDDEN /) });
    }
  });

  it('says whom it is enrolled as, how it is connected, and by which root it goes', async () => {
    const { agent, project } = await scene.controlPlane.api(scene.apiKey).vm(name);
    const { exit, said } = await status();
    expect(exit).toBe(0);
    expect(said).toMatchObject({ agent, project, connected: true, enrolment: null, operation: null });
    expect(said['root']).toMatchObject({ version: 1 });
    expect(said['link']).toMatchObject({ running: true, state: 'connected', host: 'localhost:7443', code: null });
    const facts = await inGuest(`stat -c '%U %a' ${STATE}/link/status.json`);
    expect(facts).toBe('latchkey-agent 640\n');
  });
});

/** The files of the data folder hold everything that signs roots: a 1-of-1 root is made anew with another end. */
async function rootThatEnded(): Promise<string> {
  const paths = pathsIn(scene.controlPlane.data);
  const signed = JSON.parse(readFileSync(paths.trustRoot, 'utf8')) as SignedRoot;
  const root = parseCanonical(fromBase64url(signed.payload)) as RootPayload;
  const trust = JSON.parse((await guest.readFile('/etc/latchkey-agent/trust.json')).toString()) as object;
  const ended = await signRoot({ ...root, expires: 1_700_000_000 }, [await readKey(paths.rootKey)]);
  return JSON.stringify({ ...trust, root: ended });
}

type Breakage = Readonly<{
  /** What the row of the one broken thing says. */
  says: string;
  breaks(): Promise<unknown>;
  heals(): Promise<unknown>;
  /** The code of the reset, where it is another way of saying the same; what it is asked for beside the account. */
  reset?: readonly string[];
}>;

const away = (path: string, says: string): Breakage => ({
  says,
  breaks: () => inGuest(`mv ${path} ${path}.away`),
  heals: () => inGuest(`mv ${path}.away ${path}`),
});
const script = (says: string, breaks: string, heals: string): Breakage => ({
  says,
  breaks: () => inGuest(breaks),
  heals: () => inGuest(heals),
});
/** Another disk in the folder's place, with the same files on it and no room left. */
const fullDisk = (says: string, folder: string): Breakage =>
  script(
    says,
    `mkdir -m 700 /run/full && mount -t tmpfs -o size=2m,mode=$(stat -c %a ${folder}) tmpfs /run/full && cp -a ${folder}/. /run/full/ &&
     mount --bind /run/full ${folder} && { cat /dev/zero > ${folder}/fill 2> /dev/null || true; }`,
    `umount ${folder} /run/full && rmdir /run/full`,
  );

const breakages: Readonly<Record<string, Breakage>> = {
  'no password program': away('/usr/bin/passwd', 'password_program PASSWD_FAILED missing'),
  'no password checker': away('/usr/sbin/unix_chkpwd', 'checker VERIFY_FAILED checker_missing'),
  'no pseudo-terminal': script(
    'terminal PASSWD_FAILED no_terminal',
    'mount -t tmpfs tmpfs /dev/pts',
    'umount /dev/pts',
  ),
  'a module of PAM that is not there': script(
    'pam PASSWD_FAILED pam_module',
    'cp -a /etc/pam.d/passwd /run/pam-passwd; echo "password required pam_gone.so" >> /etc/pam.d/passwd',
    'cp -a /run/pam-passwd /etc/pam.d/passwd',
  ),
  'an /etc that is read-only': script(
    'disk FS_READONLY readonly',
    'mount --bind /etc /etc && mount -o remount,bind,ro /etc',
    'umount /etc',
  ),
  'an /etc that is full': fullDisk('disk PASSWD_FAILED full', '/etc'),
  'a state folder that is full': fullDisk('disk DISK_FULL full', `${STATE}/executor`),
  'a journal that others may read': script(
    'journal JOURNAL_UNSAFE mode',
    `touch ${STATE}/executor/journal.jsonl; chmod 644 ${STATE}/executor/journal.jsonl`,
    `chmod 600 ${STATE}/executor/journal.jsonl`,
  ),
  'a root past its end': {
    says: 'trust ROOT_EXPIRED',
    async breaks() {
      await inGuest('cp -a /etc/latchkey-agent/trust.json /run/trust.json');
      await guest.writeFile('/etc/latchkey-agent/trust.json', await rootThatEnded());
    },
    heals: () => inGuest('cp -a /run/trust.json /etc/latchkey-agent/trust.json'),
  },
  'no marker': away('/etc/latchkey-agent/root-marker', 'environment ENV_REFUSED marker_missing'),
  'a kernel argument': {
    says: 'environment ENV_REFUSED kernel_argument:rd.break',
    breaks: async () => guest.setKernelCommandLine(`${KERNEL_COMMAND_LINE} rd.break`, { live: true }),
    heals: async () => guest.setKernelCommandLine(KERNEL_COMMAND_LINE, { live: true }),
  },
  'several accounts with uid 0': script(
    'account ACCOUNT_AMBIGUOUS',
    'cp -a /etc/passwd /run/passwd && echo "toor:x:0:0::/root:/bin/sh" >> /etc/passwd',
    'cp -a /run/passwd /etc/passwd',
  ),
  'a locked account': script('account ACCOUNT_LOCKED', 'passwd -l root', 'passwd -u root'),
  'an init that cannot be asked to reboot': away('/sbin/reboot', 'power REBOOT_DENIED reboot_missing'),
};

/** How a reset of the guest as it is ends; one that never gets ready is given up after its reason is known. */
async function resetEnds(parameters: readonly string[], unready: boolean): Promise<string | null> {
  if (!unready) return (await scene.reset(['reset', name, ...parameters])).done.code;
  const api = scene.controlPlane.api(scene.apiKey);
  const { op } = await api.createOperation({ vm: name, account: { mode: 'generated' } });
  for (;;) {
    const { reason } = await api.operation(op);
    if (reason === null) await new Promise((resolve) => setTimeout(resolve, 50));
    else {
      await api.cancel(op);
      return reason;
    }
  }
}

describe('a machine on which one thing is broken', () => {
  it.each(Object.entries(breakages))('%s', async (_, { says, breaks, heals, reset = [] }) => {
    const code = says.split(' ')[1] ?? '';
    await breaks();
    try {
      const [here, outside] = await Promise.all([doctor(), check()]);
      expect({ said: refusals(here), exit: here.exit, can: here.can.account }).toEqual({
        said: [says],
        exit: 3,
        can: false,
      });
      expect({ said: refusals(outside), exit: outside.exit }).toEqual({ said: [says], exit: 3 });
      expect(await resetEnds(reset, code === 'JOURNAL_UNSAFE')).toBe(code);
    } finally {
      await heals();
    }
  });

  it('several VNC servers, of which none is named', async (context) => {
    if (findVncService() === undefined) {
      unavailable(context, 'tigervnc-standalone-server', 'apt-get install tigervnc-standalone-server');
    }
    const program = (await inGuest('command -v Xtigervnc || command -v Xvnc')).trim();
    const second = await guest.spawn(
      [
        program,
        ':7',
        '-localhost=1',
        '-rfbport',
        '5907',
        '-SecurityTypes',
        'VncAuth',
        '-rfbauth',
        '/home/ada/.vnc/passwd',
      ],
      { user: 'ada' },
    );
    try {
      await guest.untilListening(5907);
      const [here, outside] = await Promise.all([doctor(), check()]);
      for (const found of [here, outside]) {
        expect({ said: refusals(found), exit: found.exit }).toEqual({ said: ['vnc VNC_AMBIGUOUS'], exit: 3 });
        expect(found.can).toEqual({ account: true, vnc: false });
        const servers = found.checks.filter(({ name: row, verdict }) => row === 'vnc' && verdict === 'ok');
        expect(servers.map(({ about }) => about).sort()).toEqual([`tigervnc:${VNC_PORT}`, 'tigervnc:5907']);
      }
      expect(await resetEnds(['--vnc'], false)).toBe('VNC_AMBIGUOUS');
    } finally {
      second.kill('SIGKILL');
    }
  });

  it('is healthy again', async () => {
    const here = await doctor();
    expect({ said: notOk(here), exit: here.exit }).toEqual({ said: [], exit: 0 });
  });
});

describe('what only one side can see', () => {
  it('a trust file that cannot be read: the doctor says all the rest, and its executor refuses to look', async () => {
    await inGuest('cp -a /etc/latchkey-agent/trust.json /run/trust.json; echo "{" > /etc/latchkey-agent/trust.json');
    const [here, outside] = await Promise.all([doctor(), check()]);
    await inGuest('cp -a /run/trust.json /etc/latchkey-agent/trust.json');
    expect(refusals(here)).toEqual(['trust TRUST_INVALID syntax', 'executor TRUST_INVALID']);
    expect(here.checks.filter(({ verdict }) => verdict === 'ok').length).toBeGreaterThan(10);
    expect({ exit: outside.exit, code: outside.code }).toEqual({ exit: 3, code: 'TRUST_INVALID' });
  });

  it('an identity that was made in another machine: it is not used, and that is said', async () => {
    await inGuest('cp -a /etc/machine-id /run/machine-id; tr 0-9 a-f < /run/machine-id > /etc/machine-id');
    const [here, outside, { said }] = await Promise.all([doctor(), check(), status()]);
    const ends = await resetEnds([], true);
    await inGuest('cp -a /run/machine-id /etc/machine-id');
    expect(refusals(here)).toEqual(['identity CLONE_SUSPECTED other_machine', 'executor CLONE_SUSPECTED']);
    expect({ exit: outside.exit, code: outside.code }).toEqual({ exit: 3, code: 'CLONE_SUSPECTED' });
    expect(said).toMatchObject({ agent: null, identity_code: 'CLONE_SUSPECTED' });
    expect(ends).toBe('CLONE_SUSPECTED');
  });

  it('a network that is cut: doctor and status say that the link is away, and since when', async () => {
    await guest.cutNetwork();
    await scene.controlPlane.untilOnline(name, false);
    const connected = async () => (await status()).said['connected'];
    while (await connected()) await new Promise((resolve) => setTimeout(resolve, 200));
    const here = await doctor();
    expect(refusals(here).map((words) => words.split(' ').slice(0, 2).join(' '))).toEqual([
      'control_plane SERVER_UNREACHABLE',
      'link AGENT_OFFLINE',
    ]);
    const outside = await scene.run(['vm', 'check', name]);
    expect({ code: outside.code, said: outside.stderr }).toMatchObject({
      code: 3,
      said: expect.stringMatching(/AGENT_OFFLINE/),
    });
    const { exit, said } = await status();
    expect(exit).toBe(3);
    expect(said).toMatchObject({ connected: false, link: { running: true, state: 'disconnected' } });
    const { stdout } = await guest.exec(['/usr/bin/latchkey-agent', 'status']);
    expect(stdout).toMatch(/^link +not connected since 20[0-9-]+T[0-9:]+Z/m);
    await guest.restoreNetwork();
    await scene.controlPlane.untilOnline(name);
  });

  it('an operation that waits: everybody says so by its id, and it ends as if nobody had asked', async () => {
    const running = scene.reset(['reset', name, '--grace', '12']);
    const op = await scene.untilState(guest, 'WAITING');
    const [here, outside, { said }] = await Promise.all([doctor(), check(), status()]);
    const { done } = await running;
    for (const found of [here, outside]) {
      expect(refusals(found)).toEqual(['operation BUSY']);
      expect(found.checks.find((row) => row.name === 'operation')?.about).toBe(op);
    }
    expect(said).toMatchObject({ operation: { op, state: 'WAITING' } });
    expect(done).toMatchObject({ op, state: 'DONE' });
  });
});

describe('a machine that is not enrolled', () => {
  it('says so, why, and what else a reset would need', async () => {
    const stranger = await scene.controlPlane.attach({ name: `stranger-${process.pid}`, services: [], vnc: false });
    try {
      await stranger.boot();
      const agent = (...argv: string[]) => stranger.exec(['/usr/bin/latchkey-agent', ...argv]);
      const here = JSON.parse((await agent('doctor', '--json')).stdout) as Findings;
      expect(refusals(here)).toEqual(['identity NOT_ENROLLED']);
      expect(notOk(here)).toContain('executor NOT_ENROLLED');
      expect((await agent('status')).stdout).toMatch(
        /^agent +NOT_ENROLLED .*\n(enrolment.*\n)?link +never connected\n/,
      );
      const token = await stranger.readFile('/etc/latchkey-agent/join-token');
      await stranger.writeFile('/etc/latchkey-agent/join-token', `lkj_${'A'.repeat(43)}\n`, 0o600);
      expect((await agent('enrol')).code).toBe(1);
      const { stdout, code } = await agent('status');
      expect(code).toBe(3);
      expect(stdout).toMatch(/^enrolment +failed, last at 20[^ ]+: JOIN_TOKEN_INVALID The join token is not valid\./m);
      await stranger.writeFile('/etc/latchkey-agent/join-token', token, 0o600);
      expect((await agent('enrol')).code).toBe(0);
      expect(JSON.parse((await agent('status', '--json')).stdout)).toMatchObject({ enrolment: null, connected: false });
    } finally {
      await stranger.destroy();
    }
  });
});

describe('a machine with systemd, under the product’s own units', () => {
  it('is ok in every row, says which restrictions are in force, and which are not', async (context) => {
    demandSystemd(context);
    const machine = await scene.guest({ name: `managed-${process.pid}`, layout: 'systemd', vnc: false });
    const run = (line: string) => machine.exec(['sh', '-c', line]);
    const here = async () => JSON.parse((await run('/usr/bin/latchkey-agent doctor --json')).stdout) as Findings;
    const outside = async () =>
      JSON.parse((await scene.run(['vm', 'check', machine.name, '--json'])).stdout) as Findings;
    const sandboxOf = ({ checks }: Findings) => checks.find((row) => row.name === 'sandbox')?.about;
    await machine.exec(['chpasswd'], { input: `root:${drawPassword()}\n` });
    for (const found of [await here(), await outside()]) {
      expect(notOk(found)).toEqual([]);
      expect(sandboxOf(found)).toBe('no_new_privs capabilities seccomp');
    }
    const dropIn = '/etc/systemd/system/latchkey-executor@.service.d/looser.conf';
    await machine.writeFile(dropIn, '[Service]\nNoNewPrivileges=no\nCapabilityBoundingSet=~\n');
    await run('systemctl daemon-reload');
    const looser = await outside();
    expect(notOk(looser)).toEqual(['sandbox SANDBOX_OFF']);
    expect(sandboxOf(looser)).toBe('without no_new_privs capabilities');
    expect(looser.can).toEqual({ account: true, vnc: true });
  });
});
