// What a process of some user can reach, tried by a process that becomes that user: each try by name, with the system's answer.
// It is started as root, since the program it runs from may be out of that user's reach.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

export type Try =
  | Readonly<{ do: 'read' | 'list' | 'write' | 'remove' | 'connect'; path: string }>
  | Readonly<{ do: 'rename'; path: string; to: string }>
  | Readonly<{ do: 'signal'; pid: number }>;

const SCRIPT = `
const fs = require('node:fs');
const net = require('node:net');
const { user, tries } = JSON.parse(fs.readFileSync(0, 'utf8'));
process.setgroups([]); process.setgid(user.gid); process.setuid(user.uid);
const ways = {
  read: ({ path }) => fs.closeSync(fs.openSync(path, 'r')),
  list: ({ path }) => void fs.readdirSync(path),
  write: ({ path }) => fs.closeSync(fs.openSync(path, 'a')),
  remove: ({ path }) => fs.rmSync(path),
  rename: ({ path, to }) => fs.renameSync(path, to),
  signal: ({ pid }) => void process.kill(pid, 0),
  connect: ({ path }) => new Promise((resolve, reject) => {
    const socket = net.connect(path, () => { socket.destroy(); resolve(); });
    socket.on('error', reject);
  }),
};
(async () => {
  const answers = [];
  for (const each of tries) {
    try { await ways[each.do](each); answers.push('done'); } catch (error) { answers.push(error.code); }
  }
  process.stdout.write(JSON.stringify(answers));
})();
`;

/** The answers in the order of the tries: `done`, or the code of the error. */
export async function probe(user: Readonly<{ uid: number; gid: number }>, tries: readonly Try[]): Promise<string[]> {
  const child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/', env: {} });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  child.stdin.end(JSON.stringify({ user, tries }));
  await once(child, 'close');
  return JSON.parse(text) as string[];
}
