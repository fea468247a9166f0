// Asks the real executor of an enrolled guest over pipes, as the link does it on Windows, and prints what it said. Never runs
// outside a guest: what it starts would be this machine's own executor.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { askPreflight, askReport, ExecutorConnection } from '../../../agent/link/executor-client.ts';
import { childDoor } from '../../../agent/link/executor-door.ts';
import { readPreflight } from '../../../protocol/preflight.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { bytes32Text, OP } from '../../protocol/samples.ts';

if (!existsSync('/run/latchkey-lab-guest')) throw new Error('this runs in a lab guest only');
const PATIENCE_MS = 30_000;
const entry = '/usr/lib/latchkey-agent/agent/main.ts';
const door = childDoor([entry, 'executor', '--pipes'], { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' });

const { open, root } = await askReport(door);
const { checks } = readPreflight(payloadOf(await askPreflight(door, bytes32Text(0x90), Math.floor(Date.now() / 1000))));
// One that is prepared and then left: it ends, for nothing was asked of it yet.
const prepared = await new Promise<string>((resolve) => {
  const connection = new ExecutorConnection(door, {
    answer: ({ t }) => {
      resolve(t);
      connection.close();
    },
    end: () => resolve('ended'),
  });
  connection.send({ t: 'prepare', op: OP, account: null });
});
const untilMs = performance.now() + PATIENCE_MS;
while (executors() > 0 && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 50));
const notOk = checks.filter(({ verdict }) => verdict !== 'ok').map(({ name, code }) => `${name} ${code}`);
process.stdout.write(`${JSON.stringify({ report: { open, root }, notOk, prepared, left: executors() })}\n`);
process.exit();

function executors(): number {
  const processes = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return processes.filter((pid) => commandOf(pid).includes('--pipes')).length;
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
