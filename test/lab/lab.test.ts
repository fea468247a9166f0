// What the lab promises to whoever runs it: nothing of the runner's is in a guest's reach, nothing of the runner's is
// changed, and nothing of a guest is left behind.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { homedir, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { unavailable } from '../requirements.ts';
import { bootGuest, canRead, digest, isAlive, output, SLEEPER, until } from './fixture.ts';
import { findSupervisor, guestFolder } from './ground.ts';
import { createGuest, destroyAll, type Guest } from './guest.ts';
import { checkRequirements, findSubordinateRange, SUBORDINATE_IDS } from './requirements.ts';

function hashes(shadow: string): Set<string> {
  const fields = shadow.split('\n').map((line) => line.split(':')[1] ?? '');
  return new Set(fields.filter((field) => field.startsWith('$')));
}

/** `passwd NAME` on a terminal of the guest; the secret is written only after its prompt. */
async function changePassword(guest: Guest, name: string, password: string): Promise<number | null> {
  const child = await guest.spawn(['passwd', '--', name], { pty: true });
  let heard = '';
  let answers = 0;
  child.stdout?.on('data', (bytes: Buffer) => {
    heard += bytes.toString();
    const prompts = heard.match(/password:/gi)?.length ?? 0;
    for (; answers < prompts; answers += 1) child.stdin?.write(`${password}\n`);
  });
  return new Promise((resolve) => child.once('close', resolve));
}

async function accepts(guest: Guest, name: string, password: string): Promise<boolean> {
  const path = (await output(guest, 'command -v /usr/sbin/unix_chkpwd || command -v /sbin/unix_chkpwd')).trim();
  const { code } = await guest.exec([path, name, 'nullok'], { input: `${password}\0` });
  return code === 0;
}

afterAll(destroyAll);

describe('the runner is out of reach', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = createGuest({ name: `test-reach-${process.pid}`, services: [SLEEPER], vnc: false });
    await guest.boot();
  });
  afterAll(() => guest.destroy());

  test("a guest sees only its own processes, and PID 1 is the lab's init", async () => {
    expect(await output(guest, 'readlink /proc/1/exe')).toBe('/usr/lib/latchkey-lab/init');
    const names = await output(guest, 'for p in /proc/[0-9]*; do readlink $p/exe; done | sort -u');
    const allowed = ['/usr/lib/latchkey-lab/init', '/usr/bin/sleep', '/usr/bin/readlink', '/usr/bin/sort'];
    const shell = await output(guest, 'readlink -f /bin/sh');
    expect(names.split('\n').filter((path) => ![...allowed, shell].includes(path))).toEqual([]);
    expect(await output(guest, `test ! -e /proc/${process.pid} || readlink /proc/${process.pid}/exe`)).not.toMatch(
      /node/,
    );
  });

  test("the runner's homes, state and accounts are not in a guest", async () => {
    const tops = (await output(guest, 'ls -A /')).split('\n');
    const known = 'bin boot dev etc home lib lib32 lib64 libx32 media mnt opt proc root run sbin srv sys tmp usr var';
    expect(tops.filter((top) => !known.split(' ').includes(top))).toEqual([]);
    expect(await output(guest, 'ls -A /opt; ls -A /srv; ls -A /mnt; ls -A /media; ls -A /boot; ls -A /var/mail')).toBe(
      '',
    );
    expect(await output(guest, 'ls -A /root /home')).toBe('/home:\nada\nbob\n\n/root:');
    const own = homedir();
    if (own !== '/root') expect(await output(guest, `test -e '${own}' && echo there || echo absent`)).toBe('absent');
    expect(await output(guest, 'cut -d: -f1 /etc/passwd | sort | xargs')).toBe(
      'ada bob daemon latchkey-agent messagebus nobody root',
    );
  });

  test('the project is read-only in a guest, and its Node runs there', async () => {
    expect((await guest.exec(['touch', '/usr/lib/latchkey-agent/package.json'])).code).not.toBe(0);
    const facts = await output(guest, "grep ' /usr/lib/latchkey-agent ' /proc/self/mounts | cut -d' ' -f4");
    expect(facts.split(',')[0]).toBe('ro');
    const node = `/usr/lib/latchkey-agent/node_modules/node-linux-${process.arch}/bin/node`;
    expect(await output(guest, `${node} -p process.version`, 'latchkey-agent')).toBe(process.version);
  });

  test('what a guest writes to /usr stays in the guest', async () => {
    await output(guest, 'echo mine > /usr/lab-was-here; rm /usr/bin/yes');
    expect(existsSync('/usr/lab-was-here')).toBe(false);
    expect(existsSync('/usr/bin/yes')).toBe(true);
  });

  test('a password changed in a guest is in force there and changes nothing on the runner', async () => {
    const before = [digest('/etc/shadow'), digest('/etc/passwd'), digest('/etc/gshadow'), digest('/etc/group')];
    expect(await changePassword(guest, 'root', 'First-2-Pass')).toBe(0);
    expect(await output(guest, 'grep -c "^root:[$]y[$]" /etc/shadow')).toBe('1');
    expect(await accepts(guest, 'root', 'First-2-Pass')).toBe(true);
    expect(await accepts(guest, 'root', 'Second-3-Pass')).toBe(false);
    expect([digest('/etc/shadow'), digest('/etc/passwd'), digest('/etc/gshadow'), digest('/etc/group')]).toEqual(
      before,
    );
  });

  test("no password hash in a guest is one of the runner's", async (context) => {
    await changePassword(guest, 'ada', 'Third-4-Pass');
    const inside = hashes((await guest.readFile('/etc/shadow')).toString());
    expect(inside.size).toBeGreaterThan(0);
    if (!canRead('/etc/shadow')) unavailable(context, "a comparison with the runner's shadow", 'run the tests as root');
    const outside = hashes(readFileSync('/etc/shadow', 'utf8'));
    expect([...inside].some((hash) => outside.has(hash))).toBe(false);
  });

  test("the kernel's settings cannot be written in a guest", async () => {
    const { code } = await guest.exec(['sh', '-c', 'echo 1 > /proc/sys/kernel/printk']);
    expect(code).not.toBe(0);
    expect(await output(guest, 'for f in /proc/sysrq-trigger /proc/kcore; do test ! -s $f || echo $f; done')).toBe('');
    const writable = await output(
      guest,
      'for f in /sys/power/state /proc/irq/default_smp_affinity; do (: > $f) 2>/dev/null && echo $f; done; true',
    );
    expect(writable).toBe('');
  });

  test("the marker names the runner's namespaces, which are not the guest's", async () => {
    const marker = JSON.parse((await guest.readFile('/run/latchkey-lab-guest')).toString());
    expect(Object.keys(marker)).toEqual(['v', 'guest', 'runner']);
    expect(marker).toMatchObject({ v: 1, guest: guest.name });
    for (const kind of ['pid', 'mnt', 'uts', 'ipc', 'net']) {
      const own = readlinkSync(`/proc/self/ns/${kind}`);
      if (kind in marker.runner) expect(marker.runner[kind]).toBe(own);
      expect(await output(guest, `readlink /proc/self/ns/${kind}`)).not.toBe(own);
    }
    expect(Object.keys(marker.runner)).toEqual(['pid', 'mnt']);
    expect(await output(guest, 'hostname')).toBe(guest.hostname);
    expect(hostname()).not.toBe(guest.hostname);
  });

  test('a program in a guest inherits nothing of our environment', async () => {
    process.env.LAB_TEST_SECRET = 'kept';
    onTestFinished(() => void delete process.env.LAB_TEST_SECRET);
    const names = (await output(guest, 'env | cut -d= -f1 | sort | xargs')).split(' ');
    expect(names).toEqual(['HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'USER']);
    await until(async () => (await output(guest, 'pgrep -x sleep || true')) !== '');
    expect(await output(guest, 'cat /proc/1/environ')).toBe('');
    expect(await output(guest, 'tr "\\0" "\\n" < /proc/$(pgrep -x sleep)/environ | cut -d= -f1 | sort | xargs')).toBe(
      'HOME LANG LOGNAME PATH USER',
    );
  });
});

describe('a guest leaves nothing behind', () => {
  test('its processes, mounts and folder are gone once it is destroyed', async () => {
    const guest = await bootGuest('gone', { vnc: true });
    await output(guest, 'touch /home/ada/hers; chown ada /home/ada/hers');
    const pid = await guest.pid();
    await guest.destroy();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(guestFolder(guest.name))).toBe(false);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(join('/', guest.name));
  });

  test('a name that is taken is refused', async () => {
    const guest = await bootGuest('taken');
    expect(() => createGuest({ name: guest.name })).toThrow(/already/);
    expect(guest.state).toBe('running');
  });

  test('the supervisor dies and its guest dies with it; down erases what is left', async () => {
    const name = `test-orphan-${process.pid}`;
    onTestFinished(() => void lab('down', name));
    expect(lab('up', name, '--no-vnc').status).toBe(0);
    const pid = Number(
      /pid (\d+)/.exec(
        lab('list')
          .stdout.split('\n')
          .find((line) => line.startsWith(name)) ?? '',
      )?.[1],
    );
    const supervisor = findSupervisor(guestFolder(name)) ?? 0;
    expect([isAlive(pid), isAlive(supervisor)]).toEqual([true, true]);
    process.kill(supervisor, 'SIGKILL');
    await until(() => !isAlive(pid));
    expect(lab('list').stdout).toContain(`${name}\tdead`);
    expect(lab('down', name).status).toBe(0);
    expect(existsSync(guestFolder(name))).toBe(false);
  });
});

function lab(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...argv], { encoding: 'utf8' });
}

describe('the lab by hand', () => {
  test('exec passes input, output and the exit code through', () => {
    const name = `test-hand-${process.pid}`;
    onTestFinished(() => void lab('down', name));
    expect(lab('up', name, '--no-vnc')).toMatchObject({ status: 0, stdout: '' });
    expect(lab('exec', name, '--user', 'bob', '--', 'sh', '-c', 'id -un; exit 7')).toEqual(
      expect.objectContaining({ status: 7, stdout: 'bob\n' }),
    );
    expect(lab('up', name).status).toBe(1);
    expect(lab('down', name).status).toBe(0);
    expect(lab('down', name).status).toBe(1);
  });

  test('a command that makes no sense exits 2 and changes nothing', () => {
    for (const argv of [
      [],
      ['up'],
      ['up', '../x'],
      ['exec', 'x'],
      ['list', 'x'],
      ['fly', 'x'],
      ['up', 'x', '--fast'],
    ]) {
      expect([argv, lab(...argv).status]).toEqual([argv, 2]);
    }
  });
});

describe('an ordinary user', () => {
  /** A user of the runner with subordinate ids; this process itself when it is not root. */
  function findUser(): { uid: number; gid: number } | undefined {
    const accounts = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
    for (const [username = '', , uid, gid] of accounts) {
      const user = { username, uid: Number(uid) };
      if (user.uid === 0 || !canRead('/etc/subuid')) continue;
      if (findSubordinateRange(readFileSync('/etc/subuid', 'utf8'), user) !== undefined)
        return { uid: user.uid, gid: Number(gid) };
    }
    return undefined;
  }

  /** This project where that user can read it: a checkout in somebody's private folder is linked into a public one. */
  function projectFor(user: { uid: number; gid: number }): string {
    const project = join(import.meta.dirname, '../..');
    const reads =
      spawnSync('test', ['-r', join(project, 'package.json'), '-a', '-r', process.execPath], user).status === 0;
    if (reads) return project;
    const folder = mkdtempSync(join(tmpdir(), 'lab-project-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    chmodSync(folder, 0o755);
    const copy = join(folder, 'project');
    const linked = spawnSync('cp', ['-al', project, copy]);
    if (linked.status !== 0) spawnSync('cp', ['-a', project, copy]);
    return copy;
  }

  function runAs(user: { uid: number; gid: number }, project: string, argv: readonly string[]) {
    const folder = mkdtempSync(join(tmpdir(), 'lab-user-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    chownSync(folder, user.uid, user.gid);
    const env = { PATH: process.env.PATH ?? '', HOME: folder, TMPDIR: folder };
    return spawnSync(join(project, 'node_modules/.bin/node'), argv, {
      ...user,
      env,
      encoding: 'utf8',
      cwd: project,
    });
  }

  test('without subordinate ids is told what to enable, in one line', (context) => {
    if (process.getuid?.() !== 0)
      unavailable(context, 'the lab as a user without subordinate ids', 'run the tests as root');
    const { status, stderr } = runAs({ uid: 65_534, gid: 65_534 }, projectFor({ uid: 65_534, gid: 65_534 }), [
      join(import.meta.dirname, 'main.ts'),
      'up',
      'test-refused',
    ]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^lab: LAB_NO_(SUBORDINATE_IDS|UIDMAP): .+\n$/);
  });

  test('runs guests as root does', { timeout: 300_000 }, (context) => {
    if (process.getuid?.() !== 0) {
      // Then every test here has run so already.
      expect(checkRequirements()).toMatchObject({ ok: true, mode: 'user' });
      return;
    }
    const user = findUser();
    const command =
      'apt-get install uidmap && useradd --create-home tester (with a range in /etc/subuid and /etc/subgid)';
    if (!user || !existsSync('/usr/bin/newuidmap')) return unavailable(context, 'the lab as an ordinary user', command);
    const project = projectFor(user);
    const vitest = join(project, 'node_modules/vitest/vitest.mjs');
    const files = [
      ...['lab', 'reboot', 'services', 'network'].map((name) => `test/lab/${name}.test.ts`),
      // Programs of the runner belong to nobody whom such a guest knows, and are the machine's own there all the same.
      'test/agent/adapters/vnc-tightvnc.lab.test.ts',
    ];
    const { status, stdout, stderr } = runAs(user, project, [
      vitest,
      'run',
      '--project',
      'lab',
      '--configLoader',
      'native',
      ...files,
    ]);
    if (status !== 0) throw new Error(`${stdout.slice(-6000)}${stderr.slice(-2000)}`);
  });

  test('needs a range large enough for every account', () => {
    const user = { username: 'ada', uid: 1000 };
    expect(findSubordinateRange(`bob:1:65536\nada:100000:${SUBORDINATE_IDS}\n`, user)).toBe(100_000);
    expect(findSubordinateRange(`1000:5:${SUBORDINATE_IDS}`, user)).toBe(5);
    expect(findSubordinateRange(`ada:100000:${SUBORDINATE_IDS - 1}\n`, user)).toBeUndefined();
    expect(findSubordinateRange('', user)).toBeUndefined();
  });
});
