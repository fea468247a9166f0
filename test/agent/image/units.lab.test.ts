// The units as systemd reads them: what they leave to a process that was taken over, and who may ask for an executor.

import { afterAll, describe, expect, test } from 'vitest';
import { bootSystemdGuest, output, sharedGuest, until } from '../../lab/fixture.ts';
import { destroyAll, type Guest } from '../../lab/guest.ts';

const UNITS = '/usr/lib/latchkey-agent/agent/image/systemd';
const SOCKET = '/run/latchkey-agent/executor.sock';
const NODE = '/usr/lib/latchkey-agent/node_modules/.bin/node';

const shared = sharedGuest(() => bootSystemdGuest('units'));
afterAll(destroyAll);

/** The exposure level of systemd-analyze(1), in tenths: 0 is none, 100 is everything. */
async function exposure(guest: Guest, unit: string): Promise<number> {
  const { stdout } = await guest.exec([
    'systemd-analyze',
    'security',
    '--offline=yes',
    '--no-pager',
    `${UNITS}/${unit}`,
  ]);
  return Math.round(Number(/Overall exposure level for \S+: ([0-9.]+)/.exec(stdout)?.[1]) * 10);
}

describe('the units', () => {
  test('are understood to the last word', async (context) => {
    const guest = await shared(context);
    // What the tool says of the links that lead to them is not about them.
    expect(
      await output(guest, `systemd-analyze verify --man=no ${UNITS}/*.service ${UNITS}/*.socket ${UNITS}/*.path`),
    ).toBe('');
  });

  test('leave an intruder little: at most 2.0 to the link, 2.8 to the executor', async (context) => {
    const guest = await shared(context);
    const limits = {
      'latchkey-agent.service': 20,
      'latchkey-executor@.service': 28,
      'latchkey-enrol.service': 28,
      'latchkey-seed.service': 20,
    };
    for (const [unit, limit] of Object.entries(limits)) {
      const found = await exposure(guest, unit);
      expect(found).toBeGreaterThan(0);
      expect([unit, found <= limit]).toEqual([unit, true]);
    }
  });
});

/** Opens that many connections at once, says hello on each, and prints what came back on each. */
const TALK = `const net = require('node:net'); const [path, count] = process.argv.slice(1);
const heard = Array.from({ length: Number(count) }, () => '');
const done = () => { console.log(heard.join(',')); process.exit(); };
heard.forEach((_, at) => { const socket = net.connect(path);
  socket.on('connect', () => socket.write('hello'));
  socket.on('data', (bytes) => { heard[at] += bytes; });
  socket.on('error', (error) => { heard[at] = error.code; });
  socket.on('close', () => { heard[at] ||= 'closed'; });
});
setInterval(() => heard.every(Boolean) && done(), 20);`;

describe('the executor’s socket', () => {
  const talk = async (guest: Guest, user: string, count: number) =>
    (await guest.exec([NODE, '-e', TALK, SOCKET, String(count)], { user })).stdout.trim().split(',').toSorted();

  test('is for root and the link’s user alone, four at once, and never gives up', async (context) => {
    const guest = await shared(context);
    const echo = '[Service]\nExecStart=\nExecStart=/bin/cat\n';
    await guest.writeFile('/run/systemd/system/latchkey-executor@.service.d/echo.conf', echo);
    await output(guest, 'systemctl daemon-reload; systemctl start latchkey-executor.socket');
    expect(await output(guest, `stat -c '%a %U:%G' ${SOCKET} $(dirname ${SOCKET}) | xargs`)).toBe(
      '660 root:latchkey-agent 750 root:latchkey-agent',
    );
    const left = async () => (await output(guest, 'systemctl list-units --no-legend "latchkey-executor@*"')) === '';
    expect(await talk(guest, 'ada', 1)).toEqual(['EACCES']);
    expect(await talk(guest, 'latchkey-agent', 4)).toEqual(['hello', 'hello', 'hello', 'hello']);
    await until(left);
    const five = await talk(guest, 'latchkey-agent', 5);
    expect(five.filter((word) => word === 'hello')).toHaveLength(4);
    await until(left);
    const limit = await output(guest, 'systemctl show latchkey-executor.socket -p TriggerLimitIntervalUSec --value');
    expect(limit).toBe('0');
  });
});
