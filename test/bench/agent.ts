// The resident half of the agent, from its bundle, connected to the product's own gateway from inside a lab guest, beside
// what it is measured by: a bare WebSocket client and a bare event loop, bundled the same way, and other vendors' agents.

import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundleAgent, bundleOptions } from '../../agent/image/bundle.ts';
import { AGENT_PATH } from '../../control-plane/gateway/endpoint.ts';
import { ControlPlane } from '../lab/control-plane.ts';
import { createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { bundleServices } from '../lab/services.ts';
import { BARE_PATH, Front } from './front.ts';
import { absentPeers, installedPeers } from './peers.ts';
import { type Memory, type Program, Resident, type Work } from './resident.ts';
import { median, table } from './table.ts';

const PROJECT = join(import.meta.dirname, '../..');
const FOLDER = 'dist/bench';
const INSTALLED = '/usr/lib/latchkey-agent';
const CA = '/etc/latchkey-agent/bench-ca.pem';
/** The agent collects its garbage at its first beat; what follows is idle. */
const SETTLE_MS = 40_000;
const IDLE_MS = 60_000;

/** What the agent's unit sets in its environment: every program here gets the same. */
const UNIT = join(PROJECT, 'agent/image/systemd/latchkey-agent.service');
const ENVIRONMENT: Readonly<Record<string, string>> = Object.fromEntries(
  [...readFileSync(UNIT, 'utf8').matchAll(/^Environment=(\w+)=(\w+)$/gm)].map(([, name = '', value = '']) => [
    name,
    value,
  ]),
);

/** A copy of Node for each, so that none is smaller for sharing its pages with another. */
const node = (name: string) => `${INSTALLED}/${FOLDER}/${name}-node`;
const SUBJECTS = ['agent', 'bareWs', 'bareWsCollected', 'bareNode'] as const;
type Subject = (typeof SUBJECTS)[number];

const TITLES: Readonly<Record<Subject, string>> = {
  agent: 'latchkey-agent run, bundle',
  bareWs: 'bare ws client, bundle',
  bareWsCollected: '  the same, interpreted and collected',
  bareNode: 'bare Node event loop',
};

type Figures = Memory & Work & Readonly<{ readyMs: number | null }>;

export async function benchAgent(rounds: number, { json }: { json: boolean }): Promise<void> {
  await prepareFiles();
  const controlPlane = await ControlPlane.start();
  const front = await Front.start(controlPlane.port);
  const guest = await makeGuest(controlPlane, front);
  try {
    await guest.boot();
    const programs = subjectPrograms(front);
    const starts = await coldStarts(guest, programs, rounds);
    const executors = await executorStarts(guest, rounds);
    const peers = installedPeers();
    const all = [...Object.entries(programs), ...peers] as readonly (readonly [string, Program])[];
    const figures = await idle(guest, all, starts);
    print(figures, executors, front);
    if (json) printJson(figures, peers);
  } finally {
    await guest.destroy();
    await front.stop();
    await controlPlane.destroy();
    rmSync(join(PROJECT, FOLDER), { recursive: true, force: true });
  }
}

async function prepareFiles(): Promise<void> {
  await bundleAgent();
  const folder = join(PROJECT, FOLDER);
  mkdirSync(folder, { recursive: true });
  for (const [name, entry] of [
    ['bareWs', 'bare-ws.ts'],
    ['bareWsCollected', 'bare-ws-collected.ts'],
    ['bareNode', 'bare-node.ts'],
  ] as const) {
    const entryPoints = [join(import.meta.dirname, entry)];
    await build({ ...bundleOptions, entryPoints, outfile: join(folder, `${name}.js`) });
  }
  for (const name of [...SUBJECTS, 'executor']) copyFileSync(process.execPath, join(folder, `${name}-node`));
}

async function makeGuest(controlPlane: ControlPlane, front: Front): Promise<Guest> {
  const name = `bench-${process.pid}`;
  const file = join(controlPlane.folder, 'trust.json');
  await controlPlane.must(['trust', 'export', '--agent-url', `ws://localhost:7443${AGENT_PATH}`, '-o', file]);
  const exported = JSON.parse(readFileSync(file, 'utf8')) as object;
  const trust = { ...exported, url: [front.url(AGENT_PATH)], ca_pem: front.caPem };
  const { token } = await controlPlane.must<{ token: string }>(['token', 'create', '--name', name]);
  const services = bundleServices(`${FOLDER}/executor-node`).filter((service) => service.name !== 'link');
  const guest = await createAttachedGuest(
    { port: front.port, trust, joinToken: token },
    { name, vnc: false, services },
  );
  await guest.writeFile(CA, front.caPem);
  return guest;
}

function subjectPrograms(front: Front): Readonly<Record<Subject, Program>> {
  const ws = [front.url(BARE_PATH), ...(front.caPem === '' ? [] : [CA])];
  const bare = (name: Subject, ...args: string[]): Program => ({
    argv: [node(name), `${INSTALLED}/${FOLDER}/${name}.js`, ...args],
    user: 'latchkey-agent',
    env: ENVIRONMENT,
    ready: 'connected',
  });
  return {
    agent: {
      argv: [node('agent'), `${INSTALLED}/dist/agent/main.js`, 'run'],
      user: 'latchkey-agent',
      env: ENVIRONMENT,
      ready: '"msg":"connected"',
    },
    bareWs: bare('bareWs', ...ws),
    bareWsCollected: bare('bareWsCollected', ...ws),
    bareNode: bare('bareNode'),
  };
}

/** In turns, one at a time; the first round warms the page cache and is not counted. */
async function coldStarts(
  guest: Guest,
  programs: Readonly<Record<string, Program>>,
  rounds: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const starts = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, program] of Object.entries(programs)) {
      const resident = await Resident.start(guest, program);
      await resident.stop();
      // What its end gives the server to do is not the next one's concern.
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (round > 0) starts.set(name, [...(starts.get(name) ?? []), resident.readyMs ?? Number.NaN]);
    }
    process.stderr.write(`\rcold start ${round}/${rounds}`);
  }
  process.stderr.write('\n');
  return starts;
}

const EXECUTORS: Readonly<Record<string, readonly string[]>> = {
  bundle: [node('executor'), `${INSTALLED}/dist/agent/main.js`],
  sources: [node('executor'), `${INSTALLED}/agent/main.ts`],
};

async function executorStarts(guest: Guest, rounds: number): Promise<ReadonlyMap<string, readonly number[]>> {
  const starts = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, agent] of Object.entries(EXECUTORS)) {
      const program = `${INSTALLED}/test/bench/executor-start-in-guest.ts`;
      const { code, stdout, stderr } = await guest.exec([node('executor'), program, ...agent]);
      if (code !== 0) throw new Error(stderr);
      if (round > 0) starts.set(name, [...(starts.get(name) ?? []), Number(stdout)]);
    }
  }
  return starts;
}

/** All of them at once: they share two processors' idle time, and nothing else but the system's libraries. */
async function idle(
  guest: Guest,
  programs: readonly (readonly [string, Program])[],
  starts: ReadonlyMap<string, readonly number[]>,
): Promise<ReadonlyMap<string, Figures>> {
  const residents = new Map<string, Resident>();
  for (const [name, program] of programs) residents.set(name, await Resident.start(guest, program));
  process.stderr.write(`${residents.size} programs run; they are left alone for ${(SETTLE_MS + IDLE_MS) / 1000} s\n`);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const before = new Map<string, Work>();
  for (const [name, resident] of residents) if (resident.running) before.set(name, await resident.work());
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const figures = new Map<string, Figures>();
  for (const [name, resident] of residents) {
    const start = before.get(name);
    if (!start || !resident.running) continue;
    const { cpuMs, switches, voluntary } = await resident.work();
    const readyMs = median(starts.get(name) ?? []);
    figures.set(name, {
      ...(await resident.memory()),
      readyMs: Number.isNaN(readyMs) ? null : readyMs,
      cpuMs: cpuMs - start.cpuMs,
      switches: switches - start.switches,
      voluntary: voluntary - start.voluntary,
    });
  }
  for (const resident of residents.values()) await resident.stop();
  return figures;
}

function print(
  figures: ReadonlyMap<string, Figures>,
  executors: ReadonlyMap<string, readonly number[]>,
  front: Front,
): void {
  const base = figures.get('bareWs');
  const row = (name: string, title: string) => {
    const found = figures.get(name);
    if (!found) return [title, ...Array<string>(7).fill('–')];
    const { pssMb, anonMb, readyMs, cpuMs, switches } = found;
    const ratio = (value: number, of?: number) => (of ? `${(value / of).toFixed(2)} x` : '–');
    const megabytes = [pssMb.toFixed(1), ratio(pssMb, base?.pssMb), anonMb.toFixed(1), ratio(anonMb, base?.anonMb)];
    return [title, ...megabytes, readyMs?.toFixed(0) ?? '–', cpuMs.toFixed(1), String(switches)];
  };
  const peers = installedPeers().map(([name]) => row(name, name));
  const head = ['', 'PSS MB', 'to ws', 'anon MB', 'to ws', 'ready ms', 'CPU ms/60 s', 'switches/60 s'];
  console.log(`\n${table([head, ...SUBJECTS.map((name) => row(name, TITLES[name])), ...peers])}`);
  if (absentPeers().length > 0) console.log(`not installed here: ${absentPeers().join(', ')}`);
  const ended = installedPeers().flatMap(([name]) => (figures.has(name) ? [] : [name]));
  if (ended.length > 0) console.log(`ended by itself in this guest: ${ended.join(', ')}`);
  const [bundled, sources] = ['bundle', 'sources'].map((name) => median(executors.get(name) ?? []));
  console.log(
    `executor, start to ready: ${bundled?.toFixed(0)} ms from the bundle, ${sources?.toFixed(0)} ms from sources (${((sources ?? 0) / (bundled ?? 1)).toFixed(1)} x)`,
  );
  const over = front.caPem === '' ? 'plain TCP, since openssl is not installed' : 'TLS 1.3';
  console.log(
    `All over ${over}, to one server, a ping every 30 s; each from a Node file of its own, with
${Object.entries(ENVIRONMENT)
  .map(([name, value]) => `${name}=${value}`)
  .join(' ')} in its environment. "ready" is a median: for the agent from its start to
hello_ok, with the executor's report and signatures checked in it; for a client, its socket open. What the agent does that
the bare client does not: the handshake, a heartbeat frame with each ping, a log, facts of a child process at each
connection; it keeps V8 from compiling to machine code; and it collects its garbage once, thoroughly, at its first beat (the
third row shows what these two are worth to the client).`,
  );
}

function printJson(figures: ReadonlyMap<string, Figures>, peers: readonly (readonly [string, Program])[]): void {
  const round = (value: number) => Math.round(value * 10) / 10;
  const told = (name: string) => {
    const found = figures.get(name);
    if (!found) return null;
    const { pssMb, anonMb, readyMs, cpuMs, switches } = found;
    const times = { readyMs: readyMs === null ? null : round(readyMs), cpuMs60: round(cpuMs), switches60: switches };
    return { pssMb: round(pssMb), anonMb: round(anonMb), ...times };
  };
  const subjects = Object.fromEntries(SUBJECTS.map((name) => [name, told(name)]));
  const others = Object.fromEntries([
    ...peers.map(([name]) => [name, told(name) ?? 'ended by itself']),
    ...absentPeers().map((name) => [name, 'not installed']),
  ]);
  console.log(JSON.stringify({ ...subjects, peers: others }));
}
