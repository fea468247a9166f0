// A link between a scripted control plane and a scripted executor. Everything is given back in the end.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll } from 'vitest';
import { socketDoor } from '../../../agent/link/executor-door.ts';
import type { Progress } from '../../../agent/link/identity.ts';
import { Link, type LinkParts } from '../../../agent/link/link.ts';
import type { LinkEvent } from '../../../agent/link/status-note.ts';
import { RootShelf } from '../../../agent/root-shelf.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { AGENT, BOOT, keys, NOW_S, sampleRoot } from '../../protocol/samples.ts';
import type { Certificate } from './certificates.ts';
import { ControlPlane, type Visitor } from './control-plane.ts';
import { ScriptedExecutor } from './executor-script.ts';

export type Site = Readonly<{
  plane: ControlPlane;
  executor: ScriptedExecutor;
  log: string[];
  progress: Progress[];
  /** What the link said of its connection. */
  notes: LinkEvent[];
  /** A connection that has been greeted and has heard `synced`. */
  connected(): Promise<Visitor>;
  stop(): Promise<void>;
  running: Promise<'stopped' | 'outgrown'>;
}>;

/** Tests run beside each other, so what they opened is given back when all of a file have ended. */
const stops: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(stops.map((stop) => stop())));

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));
async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-link-'));
  folders.push(folder);
  return folder;
}

type Options = {
  parts?: Partial<LinkParts>;
  root?: RootPayload;
  executor?: (executor: ScriptedExecutor) => void;
  without?: 'executor';
  tls?: Certificate & Readonly<{ caPem: string }>;
};

export async function makeSite({ parts = {}, root, executor: prepare, without, tls }: Options = {}): Promise<Site> {
  const plane = new ControlPlane(tls ? createServer({ cert: tls.cert, key: tls.key }) : undefined);
  const executor = new ScriptedExecutor();
  prepare?.(executor);
  const executorPath = await executor.listen();
  if (without) await executor.close();
  const url = await plane.listen(tls ? 'wss' : 'ws');
  const log: string[] = [];
  const progress: Progress[] = [{ ctr: 0, now: 0 }];
  const notes: LinkEvent[] = [];
  const stopping = new AbortController();
  const link = new Link({
    identity: { agent: AGENT, project: 'default', ik: keys.ik },
    roots: new RootShelf(await freshFolder(), root ?? sampleRoot()),
    addresses: [{ url, caPem: tls?.caPem ?? '' }],
    executors: { door: socketDoor(executorPath) },
    agentVersion: '0.0.0',
    random: { bytes: (count) => Uint8Array.from(randomBytes(count)).fill(0, 0, count === 2 ? 2 : 0) },
    readBootId: async () => BOOT,
    readFacts: async () => {
      throw new Error('no facts in this test');
    },
    readProgress: async () => progress.at(-1) ?? { ctr: 0, now: 0 },
    storeProgress: async (stored) => {
      progress.push(stored);
    },
    note: async (event) => {
      notes.push(event);
    },
    memory: { collect: () => {}, outgrown: () => false },
    log: pino({ level: 'trace' }, { write: (line: string) => log.push(line) }),
    ...parts,
  });
  const running = link.run(stopping.signal);
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    stopping.abort();
    await running;
    await plane.close();
    if (!without) await executor.close();
  };
  stops.push(stop);
  return {
    plane,
    executor,
    log,
    progress,
    notes,
    running,
    stop,
    async connected() {
      const visitor = await plane.visitor();
      await visitor.greet({ now: Math.max(NOW_S, progress.at(-1)?.now ?? 0) });
      await visitor.next('synced');
      return visitor;
    },
  };
}

export const codesIn = (log: readonly string[]): unknown[] =>
  log.map((line) => (JSON.parse(line) as { code?: string }).code).filter(Boolean);

/** Waits until something holds that only passing events bring about. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
