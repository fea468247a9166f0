// Composition root of the unprivileged, resident process. What it imports is resident: nothing of enrolment, nothing of the
// executor.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { codeOf } from '../../protocol/failure.ts';
import { controlPlaneUrls, readConfig, readTrust } from '../config.ts';
import { here } from '../host/main.ts';
import { paths } from '../paths.ts';
import type { Host } from '../ports/host.ts';
import { RootShelf } from '../root-shelf.ts';
import { AGENT_VERSION } from '../version.ts';
import { executorDoor } from './executor-door.ts';
import { readFactsInChild } from './facts-child.ts';
import { type LinkIdentity, readLinkIdentity, readProgress, writeProgress } from './identity.ts';
import { Link } from './link.ts';
import { interpretOnly, processMemory, startAnew } from './memory.ts';
import { StatusNote } from './status-note.ts';

const ENROLMENT_POLL_MS = 5_000;

/**
 * Runs until SIGTERM. Without an identity it waits for one: enrolment may still be on its way. `entry` is the command line's
 * file; `asked` an executor that was asked for its report already.
 */
export async function runLink({ entry, asked }: { entry: string; asked?: Duplex }): Promise<void> {
  interpretOnly();
  process.umask(0o077);
  const log = pino({ name: 'latchkey-link', level: process.env['LATCHKEY_LOG_LEVEL'] ?? 'info' });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const { host, random } = await here();
  await host.demandPrivate(paths.state);
  if (process.platform === 'win32') startEnrolment(entry, host);
  const [config, { trust, root }] = await Promise.all([readConfig(), readTrust()]);
  const addresses = controlPlaneUrls(trust, config).map((url) => ({ url, caPem: trust.ca_pem }));
  // What it said by then would be long past.
  const identity = await awaitIdentity(host, log, stop.signal, () => asked?.destroy());
  if (!identity) return;
  const status = new StatusNote({
    path: paths.linkNote,
    boot: await host.bootId(),
    pid: process.pid,
    started: await host.processStart(process.pid),
    log,
  });
  const link = new Link({
    identity,
    roots: new RootShelf(paths.linkRoots, root),
    addresses,
    executors: { door: executorDoor(entry, host.environment), ...(asked ? { asked } : {}) },
    agentVersion: AGENT_VERSION,
    random,
    readBootId: host.bootId,
    readFacts: () => readFactsInChild(entry, host),
    readProgress: () => readProgress(paths.link),
    storeProgress: (progress) => writeProgress(paths.link, progress),
    note: (event) => status.tell(event),
    memory: processMemory(config.memoryMaxMb),
    log,
  });
  if ((await link.run(stop.signal)) === 'outgrown') startAnew();
  process.exit();
}

/** One service for all: there is no other that would enrol the machine. The executor's keys stay out of this process. */
function startEnrolment(entry: string, { environment: env }: Host): void {
  if (!existsSync(paths.joinToken)) return;
  const child = spawn(process.execPath, [entry, 'enrol', '--retry'], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
    windowsHide: true,
  });
  child.on('error', () => {});
}

async function awaitIdentity(
  host: Host,
  log: Logger,
  stop: AbortSignal,
  onWait: () => void,
): Promise<LinkIdentity | null> {
  for (let told = false; !stop.aborted; ) {
    try {
      return await readLinkIdentity(paths.link, await host.machine());
    } catch (error) {
      const code = codeOf(error);
      // Another machine's identity is as good as none: its key is not used, and this machine may yet get its own.
      if (code !== 'NOT_ENROLLED' && code !== 'CLONE_SUSPECTED') throw error;
      if (!told) {
        log.warn({ code }, 'waiting for enrolment');
        onWait();
      }
      told = true;
      await sleep(ENROLMENT_POLL_MS, undefined, { signal: stop }).catch(() => undefined);
    }
  }
  return null;
}
