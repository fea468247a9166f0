// Runs inside a lab guest: starts an executor as the service manager would, asks it to prepare, and prints how long it took
// until it was ready, in milliseconds; then lets it go. Its arguments are the words that start the agent's command line.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

if (!existsSync('/run/latchkey-lab-guest')) throw new Error('this starts an executor: it runs inside a lab guest only');

const PATH = `/run/executor-start-${process.pid}.sock`;
const agent = process.argv.slice(2);
const accepted = new Promise<Socket>((resolve) => {
  createServer({ pauseOnConnect: true, allowHalfOpen: true }, resolve).listen(PATH);
});
const link = connect(PATH);
const connection = await accepted;
const startedMs = performance.now();
const child = spawn(agent[0] ?? '', [...agent.slice(1), 'executor'], { stdio: [connection, 'ignore', 'inherit'] });
connection.destroy();
link.write(`${JSON.stringify({ t: 'prepare', op: `op_${'0'.repeat(26)}`, account: null })}\n`);
link.once('data', (answer) => {
  if (!String(answer).startsWith('{"t":"ready"')) throw new Error(String(answer));
  console.log((performance.now() - startedMs).toFixed(3));
  link.destroy();
});
child.once('close', () => process.exit());
