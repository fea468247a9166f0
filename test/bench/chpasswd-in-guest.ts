// Runs inside a lab guest: sets one account's password with chpasswd(8) a few times and prints how long each took, from
// the start of the program to its end, in milliseconds. The passwords are drawn here and go nowhere else.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';

if (!existsSync('/run/latchkey-lab-guest')) throw new Error('this changes a password: it runs inside a lab guest only');

const [account = 'bob', rounds = '1'] = process.argv.slice(2);
for (let round = 0; round < Number(rounds); round += 1) {
  const startedMs = performance.now();
  const child = spawn('/usr/sbin/chpasswd', [], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { PATH: '/usr/sbin:/usr/bin' },
  });
  child.stdin.end(`${account}:a1${randomBytes(12).toString('hex')}\n`);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`chpasswd ended with ${code}`);
  console.log((performance.now() - startedMs).toFixed(3));
}
