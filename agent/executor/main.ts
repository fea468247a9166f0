// Composition root of the privileged process: real adapters, one connection, then an explicit exit.

import { Socket } from 'node:net';
import { pino } from 'pino';
import { commonPasswords } from '../../protocol/common-passwords.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { accountsLinux } from '../adapters/accounts-linux.ts';
import { clockMonotonic } from '../adapters/clock-monotonic.ts';
import { environmentLinux } from '../adapters/environment-linux.ts';
import { inspectionLinux } from '../adapters/inspection-linux.ts';
import { openJournalFile } from '../adapters/journal-file.ts';
import { powerLinux } from '../adapters/power-linux.ts';
import { servicesSystemd } from '../adapters/services-systemd.ts';
import { vncServers } from '../adapters/vnc-servers.ts';
import { readConfig, readTrust } from '../config.ts';
import { here } from '../host/main.ts';
import { paths } from '../paths.ts';
import { PipePair } from '../pipes.ts';
import type { Here } from '../ports/host.ts';
import { RootShelf } from '../root-shelf.ts';
import { demandGuestForSources } from '../source-guard.ts';
import { cancelBoxAt } from './cancel-box.ts';
import { Channel } from './channel.ts';
import { demandMadeHere, readIdentity, readKeys } from './identity.ts';
import type { ExecutorParts, MachineFacts, Machinery } from './parts.ts';
import { serveConnection } from './session.ts';

/**
 * Serves the connection on file descriptor 0, as socket activation with `Accept=yes` hands it over (systemd.socket(5)); with
 * `pipes` the one on standard input and output, as a link has it that started this process.
 */
export async function runExecutor(options: { rebootPatienceMs: number; pipes: boolean }): Promise<void> {
  process.umask(0o077);
  demandGuestForSources();
  // Standard output is the connection; the log goes where the service manager takes standard error.
  const log = pino(
    { name: 'latchkey-executor', level: process.env['LATCHKEY_LOG_LEVEL'] ?? 'info' },
    pino.destination({ dest: 2, sync: true }),
  );
  const channel = new Channel(
    options.pipes
      ? new PipePair(process.stdin, process.stdout)
      : new Socket({ fd: 0, readable: true, writable: true, allowHalfOpen: true }),
  );
  try {
    await serveConnection(await assemble(options, log), channel);
  } catch (error) {
    const code = codeOf(error) ?? 'INTERNAL';
    log.error(error instanceof Failure ? { code, details: error.details } : { code, err: error }, 'the executor stops');
    channel.send({ t: 'refused', op: null, code });
    process.exitCode = 1;
  }
  await channel.end();
  process.exit();
}

type System = Here & Readonly<{ machineOf(facts: MachineFacts): Machinery | Promise<Machinery> }>;

/** `system` is for a test that has another machine than this one to stand on. */
export async function assemble(
  { rebootPatienceMs }: { rebootPatienceMs: number },
  log: ExecutorParts['log'],
  system?: System,
): Promise<ExecutorParts> {
  const { host, random, machineOf: machineHere } = system ?? { ...(await here()), machineOf };
  await host.demandPrivate(paths.state);
  const [config, { root }, { ek, macKey }, identity] = await Promise.all([
    readConfig(),
    readTrust(),
    readKeys(paths.executor),
    readIdentity(paths.executor),
  ]);
  demandMadeHere(identity, macKey, await host.machine());
  return {
    ...(await machineHere({ config, macKey, marker: identity.marker })),
    identity: { agent: identity.agent, project: identity.project, joinSha256: identity.join, ek },
    roots: new RootShelf(paths.executorRoots, root),
    clock: clockMonotonic(),
    random,
    cancels: cancelBoxAt(paths.executor),
    rebootPatienceMs,
    log,
  };
}

/** The adapters of this system: what acts on the machine, and what looks at it. */
export async function machineOf(facts: MachineFacts): Promise<Machinery> {
  if (process.platform === 'win32') return (await import('../windows/main.ts')).machineOnWindows(facts);
  const { config, macKey, marker } = facts;
  return {
    policy: { rootfs: config.rootfs, vncServer: config.vncServer, commonPasswords },
    accounts: accountsLinux({ macKey, ...(config.administrator ? { administrator: config.administrator } : {}) }),
    vnc: vncServers({ macKey, services: servicesSystemd() }),
    power: powerLinux(),
    environment: environmentLinux({ marker }),
    inspection: inspectionLinux({ state: paths.executor }),
    openJournal: (mode: 'read' | 'write') => openJournalFile({ folder: paths.executor, mode }),
  };
}
