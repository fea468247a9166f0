// The control plane's units on a machine with real systemd: understood to the last word, close to intruders, and what they start works
// and ends in order.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bootSystemdGuest, output, sharedGuest } from '../../lab/fixture.ts';
import { destroyAll, type Guest } from '../../lab/guest.ts';

const SYSTEMD = join(import.meta.dirname, '../../../control-plane/install/systemd');
const UNITS = '/etc/systemd/system';
const SYSUSERS = '/usr/lib/sysusers.d/latchkey.conf';
const PRODUCT = '/usr/lib/latchkey-agent';
const NODE = `${PRODUCT}/node_modules/.bin/node`;
/** The exposure level of systemd-analyze(1), in tenths: 0 is none, 100 is everything. */
const CEILINGS = { latchkey: 30, 'latchkey-gateway': 16, 'latchkey-web': 16, 'latchkey-signer': 16 };
const NAMES = Object.keys(CEILINGS);

const shared = sharedGuest(async () => {
  const guest = await bootSystemdGuest('control-plane-units');
  for (const name of NAMES) {
    await guest.writeFile(`${UNITS}/${name}.service`, readFileSync(join(SYSTEMD, `${name}.service`), 'utf8'));
  }
  await guest.writeFile(SYSUSERS, readFileSync(join(SYSTEMD, 'latchkey.sysusers.conf'), 'utf8'));
  await guest.writeFile('/etc/latchkey/latchkey.env', 'LATCHKEY_METRICS_LISTEN=127.0.0.1:9464\n');
  const main = `#!/bin/sh\nexec ${NODE} ${PRODUCT}/control-plane/main.ts "$@"\n`;
  await guest.writeFile('/usr/bin/latchkey', main, 0o755);
  await output(guest, `systemd-sysusers ${SYSUSERS} 2>/dev/null; systemctl daemon-reload`);
  return guest;
});
afterAll(destroyAll);

/** What the units said is the failure's reason where it never comes. */
async function until(guest: Guest, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; !(await holds()); ) {
    if (performance.now() > end)
      throw new Error((await guest.exec(['journalctl', '-u', 'latchkey*', '-o', 'cat'])).stdout);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const ask = (guest: Guest, port: number, path: string) =>
  output(
    guest,
    `${NODE} -e "fetch('http://127.0.0.1:${port}${path}').then(async (r) => console.log(r.status, await r.text()), () => console.log('none'))"`,
  );

describe('the units', () => {
  test('are understood to the last word', async (context) => {
    const guest = await shared(context);
    const files = NAMES.map((name) => `${UNITS}/${name}.service`).join(' ');
    expect(await output(guest, `systemd-analyze verify --man=no ${files}`)).toBe('');
  });

  test('leave an intruder little: at most 3.0 to the one that keeps two users apart, 1.6 to each part alone', async (context) => {
    const guest = await shared(context);
    for (const [name, ceiling] of Object.entries(CEILINGS)) {
      const unit = `${UNITS}/${name}.service`;
      const { stdout } = await guest.exec(['systemd-analyze', 'security', '--offline=yes', '--no-pager', unit]);
      const found = Math.round(Number(/Overall exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1]) * 10);
      expect(found).toBeGreaterThan(0);
      expect([name, found, found <= ceiling]).toEqual([name, found, true]);
    }
  });
});

describe('latchkey.service', () => {
  test('answers when it is started, as three users, and is over when it is stopped', async (context) => {
    const guest = await shared(context);
    await output(guest, 'systemctl start latchkey');
    await until(guest, async () => (await ask(guest, 8420, '/healthz')).startsWith('200 '));
    // Its signer answers the web: the folder between them is as it has to be.
    expect(await ask(guest, 9464, '/readyz')).toMatch(/^200 /);
    const users = await output(guest, "ps -eo user:20,cmd | grep '[m]ain.ts' | awk '{print $1}' | sort | xargs");
    expect(users).toBe('latchkey latchkey-signer root');
    const modes = "cd /var/lib/latchkey; stat -c '%a %U:%G %n' . keys gateway signer run/signer.sock | xargs";
    expect(await output(guest, modes)).toBe(
      '711 root:root . 700 root:root keys 700 latchkey:latchkey gateway 700 latchkey-signer:latchkey-signer signer 660 latchkey-signer:latchkey run/signer.sock',
    );
    await output(guest, 'systemctl stop latchkey');
    const end = await output(guest, 'systemctl show latchkey -p Result -p ActiveState --value | xargs');
    expect(end).toBe('success inactive');
    expect(await output(guest, 'pgrep -f [m]ain.ts || true')).toBe('');
  });
});

describe('latchkey-signer.service', () => {
  test('serves the folder that latchkey.service has made, to the web’s user and to no other', async (context) => {
    const guest = await shared(context);
    await output(guest, 'systemctl start latchkey-signer');
    const socket = '/var/lib/latchkey/run/signer.sock';
    const dial = `require('node:net').connect('${socket}').on('connect', () => process.exit(0)).on('error', () => process.exit(7))`;
    const connects = async (user: string) => (await guest.exec(['runuser', '-u', user, '--', NODE, '-e', dial])).code;
    await until(guest, async () => (await connects('latchkey')) === 0);
    expect(await connects('ada')).toBe(7);
    await output(guest, 'systemctl stop latchkey-signer');
    expect(await output(guest, 'systemctl show latchkey-signer -p Result --value')).toBe('success');
  });
});

describe('a part that lacks what it needs', () => {
  test('says so in one line and is not well', async (context) => {
    const guest = await shared(context);
    await guest.exec(['systemctl', 'start', 'latchkey-gateway']);
    await until(guest, async () =>
      (await output(guest, 'journalctl -u latchkey-gateway -o cat')).includes('CONFIG_INVALID'),
    );
    expect(await output(guest, 'journalctl -u latchkey-gateway -o cat | grep ^latchkey: | sort -u')).toMatch(
      /^latchkey: CONFIG_INVALID .*database-url[^\n]*$/,
    );
    await output(guest, 'systemctl stop latchkey-gateway');
  });
});
