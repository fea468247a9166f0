// What runs in a guest, and as whom: init's services, the executor's socket, accounts, files, the VNC server.
import { existsSync } from 'node:fs';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { unavailable } from '../requirements.ts';
import { bootGuest, output, shell, until } from './fixture.ts';
import { createGuest, destroyAll } from './guest.ts';
import { VNC_PORT } from './services.ts';

const EXECUTOR_SOCKET = '/run/latchkey-agent/executor.sock';

/** Connects to a unix socket in the guest, says what is on the input, and prints what comes back. */
const TALK = `import socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.stdin.buffer.read()); s.shutdown(1)
sys.stdout.buffer.write(b''.join(iter(lambda: s.recv(4096), b'')))`;

afterAll(destroyAll);

describe('init keeps the services', () => {
  test('one that dies is started again, as its own user', async () => {
    const guest = await bootGuest('restart');
    const [before] = await guest.servicePids('link');
    expect(await output(guest, `stat -c %U /proc/${before}`)).toBe('latchkey-agent');
    await guest.kill('link');
    await until(async () => (await guest.servicePids('link')).some((pid) => pid !== before));
    await until(async () => (await output(guest, 'pgrep -xc sleep || true')) === '1');
  });

  test('a oneshot ends before the next starts, and its failure does not stop the boot', async () => {
    const guest = await bootGuest('order', {
      services: [shell('enrol', 'oneshot', '/etc/enrol'), shell('link', 'always', '/etc/link')],
      files: {
        '/etc/enrol': 'sleep 0.1; echo enrolled >> /var/order; exit 1',
        '/etc/link': 'echo linked >> /var/order; exec sleep infinity',
      },
    });
    await until(async () => (await output(guest, 'pgrep -x sleep || true')) !== '');
    expect(await output(guest, 'xargs < /var/order')).toBe('enrolled linked');
  });

  test('orphans are reaped', async () => {
    const guest = await bootGuest('orphans');
    await output(guest, 'for i in 1 2 3; do (setsid sleep 0.01 &) ; done');
    await until(async () => (await output(guest, 'pgrep -xc sleep || true')) === '1');
    expect(await output(guest, 'ps axo stat | grep -c "^Z" || true')).toBe('0');
  });

  test('each connection to the executor has a root process of its own, four at once', async () => {
    const executor = shell('executor', 'accept', '/etc/executor');
    const script = 'echo "$(id -u) $$ $(env | cut -d= -f1 | sort | xargs)"; cat';
    const guest = await bootGuest('executor', { services: [executor], files: { '/etc/executor': script } });
    const talk = (user: string) => guest.exec(['python3', '-c', TALK, EXECUTOR_SOCKET], { user, input: 'hello' });
    expect(await output(guest, `stat -c '%a %U:%G' /run/latchkey-agent ${EXECUTOR_SOCKET} | xargs`)).toBe(
      '750 root:latchkey-agent 660 root:latchkey-agent',
    );
    const answers = [await talk('latchkey-agent'), await talk('latchkey-agent')].map(({ stdout }) => stdout);
    for (const answer of answers) expect(answer).toMatch(/^0 \d+ HOME LANG LOGNAME PATH PWD USER\nhello$/);
    expect(new Set(answers).size).toBe(2);
    expect((await talk('ada')).code).not.toBe(0);

    const holders = await Promise.all([1, 2, 3, 4].map(() => guest.spawn(['python3', '-c', TALK, EXECUTOR_SOCKET])));
    await until(async () => (await guest.servicePids('executor')).length === 4);
    expect((await talk('root')).stdout).toBe('');
    for (const holder of holders) holder.stdin?.end();
    await until(async () => (await guest.servicePids('executor')).length === 0);
    expect((await talk('root')).stdout).toMatch(/hello$/);
  });
});

describe('accounts and files are as asked', () => {
  test('account states are those of the shadow fields given', async () => {
    const guest = await bootGuest('accounts', {
      accounts: {
        root: { field: '!$y$j9T$x$y' },
        ada: { expires: 1 },
        bob: { absent: true },
        eve: { uid: 1002, field: '!!' },
      },
    });
    expect(await output(guest, 'passwd -S root | cut -d" " -f1,2')).toBe('root L');
    expect(await output(guest, 'getent shadow ada | cut -d: -f2,8')).toBe('*:1');
    expect(await output(guest, 'getent passwd bob || echo absent')).toBe('absent');
    expect(await output(guest, 'getent shadow eve | cut -d: -f2; stat -c %U /home/eve')).toBe('!!\neve');
  });

  test('a file written before the boot or after it has its bytes, mode and owner', async () => {
    const guest = createGuest({ name: `test-files-${process.pid}`, services: [], vnc: false });
    onTestFinished(() => guest.destroy());
    await guest.writeFile('/etc/latchkey-agent/join-token', Buffer.from([0, 255, 10]), 0o640, 'root:latchkey-agent');
    await guest.boot();
    await guest.writeFile('/home/ada/note', 'hers', 0o600, 'ada');
    expect(await output(guest, "stat -c '%a %U:%G' /etc/latchkey-agent/join-token /home/ada/note | xargs")).toBe(
      '640 root:latchkey-agent 600 ada:ada',
    );
    expect(await guest.readFile('/etc/latchkey-agent/join-token')).toEqual(Buffer.from([0, 255, 10]));
  });

  test("the VNC server runs on the wrapper's copy of the first password", async (context) => {
    const guest = await bootGuest('vnc', { vnc: true });
    if (guest.vncPassword === undefined)
      unavailable(context, 'a VNC server', 'apt-get install tigervnc-standalone-server');
    await guest.untilListening(VNC_PORT);
    const socket = await guest.connect(VNC_PORT);
    expect(await new Promise((resolve) => socket.once('data', (bytes) => resolve(String(bytes))))).toMatch(/^RFB 003/);
    socket.destroy();
    expect(await output(guest, "stat -c '%a %U %s' /home/ada/.vnc/passwd")).toBe('600 ada 8');
    expect(guest.vncPassword).toMatch(/^(?=.*[a-zA-Z])(?=.*\d)[a-zA-Z0-9]{8}$/);
    if (!existsSync('/usr/bin/tigervncserver')) return;
    expect(await output(guest, 'cmp /home/ada/.vnc/passwd /tmp/tigervnc.*/passwd && echo same')).toBe('same');
  });
});
