// A server under load, as a process of its own that is looked at from outside: the program `latchkey serve`, or what it is measured by.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { AGENT_PATH } from '../../control-plane/gateway/endpoint.ts';
import { enrolAll } from './machines.ts';

const MAIN = join(import.meta.dirname, '../../control-plane/main.ts');
const TICK_MS = 10;
/** Who the program is where we are root: one user, so that gateway and API are the process that is looked at. */
const USER = process.getuid?.() === 0 ? { uid: 60_903, gid: 60_903 } : null;

export type Served = Readonly<{
  kind: 'latchkey' | 'bare';
  url: string;
  /** Processor time that the process took so far. */
  cpuMs(): number;
  rssMb(): number;
  /** Whether that many machines are connected and written down as such; of the bare one its clients know best. */
  holds(count: number): boolean;
  /** The API, for `latchkey`. */
  api: Readonly<{ origin: string; key: string; data: string }> | null;
  stop(): Promise<void>;
}>;

function look(child: ChildProcess): Pick<Served, 'cpuMs' | 'rssMb'> {
  const proc = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, 'latin1');
  return {
    cpuMs: () => {
      const [, words = ''] = proc('stat').split(') ');
      const [user = 0, system = 0] = words.split(' ').slice(11, 13).map(Number);
      return (user + system) * TICK_MS;
    },
    rssMb: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(proc('status'))?.[1]) / 1_024,
  };
}

async function firstLine(child: ChildProcess): Promise<string> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the server ended with ${code}`);
  });
  const [data] = (await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended])) as [Buffer];
  return data.toString().split('\n')[0] ?? '';
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

export async function serveBare(): Promise<Served> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bare-server.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const port = await firstLine(child);
  return {
    kind: 'bare',
    url: `ws://127.0.0.1:${port}/`,
    ...look(child),
    holds: () => true,
    api: null,
    stop: () => ended(child, 'SIGKILL'),
  };
}

/** The whole program, as one user, with so many machines enrolled; it returns once the audit has heard of all of them. */
export async function serveLatchkey(machines: number): Promise<Served> {
  const data = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  if (USER) chownSync(data, USER.uid, USER.gid);
  const { database, apiKey } = pathsIn(data);
  const start = async (): Promise<{ child: ChildProcess; url: string }> => {
    const argv = ['serve', '--data', data, '--listen', '127.0.0.1:0', '--json'];
    const env = { PATH: process.env['PATH'], HOME: data, LATCHKEY_LOG_LEVEL: 'error' };
    const child = spawn(process.execPath, [MAIN, ...argv], { ...USER, env, stdio: ['ignore', 'pipe', 'inherit'] });
    return { child, url: String((JSON.parse(await firstLine(child)) as { url: string }).url) };
  };
  const first = await start();
  await ended(first.child, 'SIGTERM');
  await enrolAll(database, machines);
  const { child, url } = await start();
  const db = new DatabaseSync(database, { readOnly: true });
  const count = (table: string) => Number(db.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.['count']);
  while (count('handover') > 0) await sleep(200);
  const { port } = new URL(url);
  return {
    kind: 'latchkey',
    url: `ws://127.0.0.1:${port}${AGENT_PATH}`,
    ...look(child),
    holds: (wanted) => count('connections') === wanted,
    api: { origin: `http://127.0.0.1:${port}`, key: readFileSync(apiKey, 'utf8').trim(), data },
    stop: async () => {
      db.close();
      await ended(child, 'SIGTERM');
      rmSync(data, { recursive: true, force: true });
    },
  };
}
