// The gateway under load, as the program that users start, beside a bare `ws` server that does the least that the same exchange can
// cost: connecting, holding, heartbeats, a storm, commands, and what one bad agent costs the others. All over loopback, without TLS.

import { setTimeout as sleep } from 'node:timers/promises';
import { BAD_WAYS, type BadWay, Fleet, openFilesMax } from './fleet.ts';
import { type Served, serveBare, serveLatchkey } from './served.ts';
import { median, table } from './table.ts';

const SIZES = [1_000, 10_000];
/** Of files that are no sockets of agents. */
const FILES_SPARE = 500;
const PACED = 256;
const SETTLE_MS = 4_000;
const BEATS_PER_SECOND = 4_000;
const BEATS_S = 5;
const COMMANDS = 100;
const COMMANDS_AT_ONCE = 16;
const QUIET = 20;
const QUIET_S = 5;
const BAD = 20;
const PATIENCE_MS = 180_000;

type Held = Readonly<{
  connectPerS: number;
  connectCpuUs: number;
  kbEach: number;
  beatUs: number;
  stormS: number;
  turnedAway: number;
}>;
type Row = Readonly<{ name: string; latchkey: number[]; bare: number[]; digits: number }>;

export async function benchGateway(rounds: number): Promise<void> {
  const sizes = fitting(SIZES);
  const rows = new Map<string, Row>();
  const note = (name: string, kind: Served['kind'], value: number, digits = 0) => {
    const row = rows.get(name) ?? { name, latchkey: [], bare: [], digits };
    row[kind].push(value);
    rows.set(name, row);
  };
  const bad = new Map<string, string[]>();
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const size of sizes) {
        for (const start of [serveBare, () => serveLatchkey(size + BAD * BAD_WAYS.length)]) {
          process.stderr.write(`\rround ${round + 1}/${rounds}, ${size} agents    `);
          const served = await start();
          const fleet = await Fleet.of(served, size);
          try {
            for (const [name, value, digits] of rowsOf(size, await hold(served, fleet, size)))
              note(name, served.kind, value, digits);
            if (size !== sizes[0]) continue;
            step(`${served.kind}: commands`);
            const told = await fleet.commands({ count: COMMANDS, inFlight: COMMANDS_AT_ONCE, api: served.api });
            note('commands a second', served.kind, (told.count * 1_000) / told.ms);
            note('submit to sent, p50 ms', served.kind, told.p50, 1);
            note('submit to sent, p99 ms', served.kind, told.p99, 1);
            if (served.kind === 'latchkey' && round === 0) await besideBad(served, fleet, size, bad);
          } finally {
            await fleet.end();
            await served.stop();
          }
        }
      }
    }
  } finally {
    // What was measured before something broke was measured.
    process.stderr.write('\n');
    print(rows, bad);
  }
}

/** Those that the limit of open files lets through; the last of them as large as it may be. */
function fitting(sizes: readonly number[]): number[] {
  const most = openFilesMax() - FILES_SPARE;
  const fit = sizes.filter((size) => size <= most);
  if (fit.length < sizes.length) {
    console.log(`open files: ${openFilesMax()} a process, so at most ${most} agents; for more: ulimit -n 32768`);
    if (most > 0 && !fit.includes(most)) fit.push(most);
  }
  return fit;
}

/** Where it is, for whoever waits. */
const step = (name: string) => process.stderr.write(`\r${name.padEnd(60)}`);

async function untilHeld(served: Served, count: number): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !served.holds(count); await sleep(20)) {
    if (performance.now() > end) throw new Error(`not ${count} machines after ${PATIENCE_MS / 1000} s`);
  }
}

async function hold(served: Served, fleet: Fleet, size: number): Promise<Held> {
  await sleep(SETTLE_MS);
  const [rssBefore, cpuBefore, since] = [served.rssMb(), served.cpuMs(), performance.now()];
  step(`${served.kind}: ${size} connect`);
  await fleet.tell({ do: 'connect', inFlight: PACED });
  await untilHeld(served, size);
  const connectS = (performance.now() - since) / 1_000;
  const connectCpuUs = ((served.cpuMs() - cpuBefore) * 1_000) / size;
  await sleep(SETTLE_MS);
  const kbEach = ((served.rssMb() - rssBefore) * 1_024) / size;
  const beatUs = await beats(served, fleet);
  step(`${served.kind}: ${size} drop`);
  await fleet.tell({ do: 'drop' });
  await untilHeld(served, 0);
  await sleep(SETTLE_MS);
  step(`${served.kind}: ${size} storm`);
  const storm = performance.now();
  const { turnedAway } = await fleet.tell({ do: 'connect', inFlight: size });
  await untilHeld(served, size);
  const stormS = (performance.now() - storm) / 1_000;
  return { connectPerS: size / connectS, connectCpuUs, kbEach, beatUs, stormS, turnedAway };
}

/** Processor time for each, without what the server does while nothing is said. */
async function beats(served: Served, fleet: Fleet): Promise<number> {
  step(`${served.kind}: heartbeats`);
  const idleFrom = served.cpuMs();
  await sleep(BEATS_S * 1_000);
  const idle = served.cpuMs() - idleFrom;
  const from = served.cpuMs();
  const { count } = await fleet.tell({ do: 'heartbeats', perSecond: BEATS_PER_SECOND, seconds: BEATS_S });
  await sleep(200);
  return ((served.cpuMs() - from - idle) * 1_000) / count;
}

function rowsOf(size: number, held: Held): [name: string, value: number, digits: number][] {
  return [
    [`${size}: connections a second, ${PACED} at once`, held.connectPerS, 0],
    [`${size}: processor µs a connection`, held.connectCpuUs, 0],
    [`${size}: kB of memory a connection`, held.kbEach, 1],
    [`${size}: processor µs a heartbeat`, held.beatUs, 1],
    [`${size}: storm, all at once, s`, held.stormS, 1],
    [`${size}: of these turned away at first`, held.turnedAway, 0],
  ];
}

/** What quiet agents wait for an answer to a ping, alone and beside bad ones. */
async function besideBad(served: Served, fleet: Fleet, size: number, found: Map<string, string[]>): Promise<void> {
  const look = async (name: string) => {
    step(name);
    const before = served.rssMb();
    const { p50, p99 } = await fleet.tell({ do: 'pings', count: QUIET, seconds: QUIET_S });
    found.set(name, [p50.toFixed(1), p99.toFixed(1), (served.rssMb() - before).toFixed(0)]);
  };
  await look('alone');
  for (const [at, how] of BAD_WAYS.entries()) {
    const others = await Fleet.of(served, BAD, size + at * BAD);
    if (isMember(how)) await others.tell({ do: 'connect', inFlight: BAD });
    await others.tell({ do: 'misbehave', how });
    await look(`beside ${BAD} of whom each ${how}`);
    await others.end();
    await sleep(SETTLE_MS);
  }
}

const isMember = (how: BadWay) => how === 'says more than it may' || how === 'pings and never reads';

function print(rows: ReadonlyMap<string, Row>, bad: ReadonlyMap<string, string[]>): void {
  const lines = [...rows.values()].map(({ name, latchkey, bare, digits }) => {
    const [ours, theirs] = [median(latchkey), median(bare)];
    return [name, ours.toFixed(digits), theirs.toFixed(digits), theirs === 0 ? '–' : `${(ours / theirs).toFixed(2)} x`];
  });
  console.log(`\n${table([['', 'latchkey', 'bare ws', 'ratio'], ...lines])}`);
  console.log(
    `\n${table([['ping to pong of quiet agents', 'p50 ms', 'p99 ms', 'memory MB'], ...[...bad].map(([name, cells]) => [name, ...cells])])}`,
  );
  console.log(`
latchkey is the whole program with SQLite; a connection there is a handshake with a signature each way, three durable writes, and the
machine written down as connected. The bare server upgrades the socket; it parses heartbeats as JSON by a schema of zod. A command there is
signed by jose and its answer is verified; at latchkey it goes from an operator's request through a proof, which the signer
verifies, spends and writes into its audit, to a command that is signed, sealed into the audit and durable before its first byte leaves.
Everything shares this machine's processors with the load itself, and with whatever else runs on it: the ratios are what counts.`);
}
