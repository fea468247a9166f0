// The resident half in a process of its own, as its composition root makes it, between an executor and a control plane that a
// test plays. Its beats come in quick succession, and it tells what it holds once everything that can be let go is gone.

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { randomKernel } from '../../../agent/adapters/random-kernel.ts';
import { MEMORY_MAX_MB } from '../../../agent/config.ts';
import { socketDoor } from '../../../agent/link/executor-door.ts';
import { readProgress, writeProgress } from '../../../agent/link/identity.ts';
import { Link } from '../../../agent/link/link.ts';
import { interpretOnly, processMemory, startAnew } from '../../../agent/link/memory.ts';
import { StatusNote } from '../../../agent/link/status-note.ts';
import { RootShelf } from '../../../agent/root-shelf.ts';
import { HEARTBEAT_INTERVAL_MS } from '../../../protocol/limits.ts';
import { AGENT, BOOT, keys, sampleRoot } from '../../protocol/samples.ts';

/** What a link holds when it has nothing to do: bytes on V8's heap and beside it, and handles of the system. */
export type Holding = Readonly<{ bytes: number; handles: number }>;

/** Each beat pings, and a server that is pinged faster than it can answer hangs up. */
const BEAT_MS = 1;
/** Acknowledgements are handed over together, a moment after the last one. */
const ERRANDS_MS = 1_000;
/** More than any link may hold. */
const BALLAST_BYTES = MEMORY_MAX_MB * 1_048_576;

const intervals = globalThis.setInterval;
globalThis.setInterval = ((run: () => void, ms: number) =>
  intervals(run, ms === HEARTBEAT_INTERVAL_MS ? BEAT_MS : ms)) as typeof setInterval;

const [, , url = '', executorSocket = '', folder = ''] = process.argv;
const log = pino({ level: 'info' });
const status = new StatusNote({ path: join(folder, 'status.json'), boot: BOOT, pid: process.pid, started: null, log });
interpretOnly();

const memory = processMemory(MEMORY_MAX_MB);
let ballast: Uint8Array | undefined;

async function measure(): Promise<Holding> {
  await sleep(ERRANDS_MS);
  memory.collect();
  const { heapUsed, external } = process.memoryUsage();
  return { bytes: heapUsed + external, handles: process.getActiveResourcesInfo().length };
}

process.on('message', async (word: 'measure' | 'grow') => {
  if (word === 'grow') ballast = new Uint8Array(BALLAST_BYTES).fill(1);
  process.send?.(word === 'measure' ? await measure() : ballast?.length);
});

const end = await new Link({
  identity: { agent: AGENT, project: 'default', ik: keys.ik },
  roots: new RootShelf(join(folder, 'root'), sampleRoot()),
  addresses: [{ url: new URL(url), caPem: '' }],
  executors: { door: socketDoor(executorSocket) },
  agentVersion: '0.0.0',
  random: randomKernel(),
  readBootId: async () => BOOT,
  readFacts: () => Promise.reject(new Error('no facts in this test')),
  readProgress: () => readProgress(folder),
  storeProgress: (progress) => writeProgress(folder, progress),
  note: (event) => status.tell(event),
  // The collections of the measurement are enough: at this pace, one after each operation takes the whole time.
  memory: { ...memory, collect: () => {} },
  log,
}).run(new AbortController().signal);
if (end === 'outgrown') startAnew();
