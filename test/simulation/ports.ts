// The ports of a simulated process: the fakes of the agent's tests, each call of them through the gate of the process, and
// each change of a secret looked at before it is made.

import { pino } from 'pino';
import type { ExecutorParts } from '../../agent/executor/parts.ts';
import type { Journal } from '../../agent/ports/journal.ts';
import { Failure } from '../../protocol/failure.ts';
import type { Slot } from '../../protocol/seal.ts';
import type { Secret } from '../../protocol/secret.ts';
import { accountsFake } from '../agent/fakes/accounts-fake.ts';
import { environmentFake } from '../agent/fakes/environment-fake.ts';
import { inspectionFake } from '../agent/fakes/inspection-fake.ts';
import { openJournalFake } from '../agent/fakes/journal-fake.ts';
import { randomFake } from '../agent/fakes/random-fake.ts';
import { rootsFake } from '../agent/fakes/roots-fake.ts';
import { vncFake } from '../agent/fakes/vnc-fake.ts';
import { AGENT, keys, sampleRoot } from '../protocol/samples.ts';
import type { SimulatedMachine } from './machine.ts';
import type { SimulatedProcess } from './process.ts';

export type Site = Readonly<{
  machine: SimulatedMachine;
  log: string[];
  box: { token: string | null };
  seed: number;
  shutdownMs: number;
  denies: boolean;
  /** Called at the moment at which a secret is about to change. */
  changing(slot: Slot, secret: string): void;
  /** Called when a reboot is asked for. */
  rebooting(): void;
  /** The machine goes down, in good order. */
  goDown(): void;
}>;

const root = sampleRoot();
export const REBOOT_PATIENCE_MS = 120_000;

export function simulatedParts(site: Site, process: SimulatedProcess): ExecutorParts {
  const { machine } = site;
  const accounts = accountsFake(machine);
  const vnc = vncFake(machine);
  const environment = environmentFake(machine);
  const call = <T>(name: string, act: () => T | Promise<T>): Promise<T> => process.pass(name, act);
  /** The fakes change things within the call itself, so that what is done is done when the next line runs. */
  const change = async <T>(slot: Slot, secret: Secret, act: () => Promise<T>): Promise<T> => {
    site.changing(slot, secret.reveal());
    const stateOf = () => JSON.stringify([machine.root, machine.server]);
    const before = stateOf();
    const undone = structuredClone({ root: machine.root, source: machine.server?.source });
    const result = await act();
    if (stateOf() !== before) machine.changed(slot, secret.reveal(), undone);
    return result;
  };
  return {
    identity: { agent: AGENT, project: 'default', ek: keys.ek },
    roots: rootsFake(root),
    policy: { rootfs: [], vncServer: null, commonPasswords: new Set() },
    accounts: {
      resolve: (name) => call('accounts.resolve', () => accounts.resolve(name)),
      fingerprint: () => call('accounts.fingerprint', () => accounts.fingerprint()),
      setPassword: (account, secret) =>
        call('accounts.setPassword', () => change('account', secret, () => accounts.setPassword(account, secret))),
      accepts: (account, secret) => call('accounts.accepts', () => accounts.accepts(account, secret)),
      usable: (account) => call('accounts.usable', () => accounts.usable(account)),
      obstacles: (account) => call('accounts.obstacles', () => accounts.obstacles(account)),
      clearLockout: (account) => call('accounts.clearLockout', () => accounts.clearLockout(account)),
    },
    vnc: {
      list: () => call('vnc.list', () => vnc.list()),
      files: (server) => call('vnc.files', () => vnc.files(server)),
      demandChangeable: (server, secret) => call('vnc.demandChangeable', () => vnc.demandChangeable(server, secret)),
      restart: (server) => call('vnc.restart', () => vnc.restart(server)),
      setPassword: (server, secret) =>
        call('vnc.setPassword', () => change('vnc', secret, () => vnc.setPassword(server, secret))),
      probe: (server, secret) => call('vnc.probe', () => vnc.probe(server, secret)),
      probeStored: (server) => call('vnc.probeStored', () => vnc.probeStored(server)),
    },
    power: powerOf(site, process),
    environment: { observe: () => call('environment.observe', () => environment.observe()) },
    // No errand of the simulation asks for it.
    inspection: inspectionFake(machine),
    clock: { monotonicMs: () => machine.nowMs, sleep: (ms) => call('clock.sleep', () => pass(site, ms)) },
    random: randomFake(`${site.seed}:${process.name}`),
    openJournal: (mode) => call('journal.open', async () => journalOf(await openJournalFake(machine, mode), process)),
    cancels: {
      put: (token) =>
        call('cancels.put', () => {
          site.box.token = token;
        }),
      take: async () => site.box.token,
    },
    rebootPatienceMs: REBOOT_PATIENCE_MS,
    log: pino({ level: 'trace', base: null, timestamp: false }, { write: (line: string) => site.log.push(line) }),
  };
}

function powerOf(site: Site, process: SimulatedProcess): ExecutorParts['power'] {
  const { machine } = site;
  const assertPossible = () => {
    if (site.denies) throw new Failure('REBOOT_DENIED', { reason: 'init_unknown' });
  };
  return {
    available: () => process.pass('power.available', assertPossible),
    reboot: () =>
      process.pass('power.reboot', () => {
        assertPossible();
        site.rebooting();
        machine.rebootAskedAtMs = machine.nowMs;
        if (machine.swallows > 0) machine.swallows -= 1;
        else if (site.shutdownMs > 0) machine.shutdownInMs ??= site.shutdownMs;
        else site.goDown();
      }),
    warn: (message) => process.pass('power.warn', () => void machine.warnings.push(message)),
  };
}

/** Time passes; a shutdown that was asked for may be over before. */
function pass(site: Site, ms: number): void {
  const { machine } = site;
  if (machine.shutdownInMs !== null && machine.shutdownInMs <= ms) {
    site.goDown();
    return;
  }
  if (machine.shutdownInMs !== null) machine.shutdownInMs -= ms;
  machine.nowMs += ms;
}

/** A failed line that could not be taken back breaks its writer, as the real journal's does. */
function journalOf(journal: Journal, process: SimulatedProcess): Journal {
  let broken = false;
  return {
    get torn() {
      return journal.torn;
    },
    head: () => journal.head(),
    records: () => journal.records(),
    async append(record) {
      if (broken) throw new Failure('JOURNAL_UNSAFE', { reason: 'broken' });
      try {
        await process.pass('journal.append', () => journal.append(record));
      } catch (error) {
        if (error instanceof Failure && error.code === 'JOURNAL_UNSAFE') broken = true;
        throw error;
      }
    },
    close: async () => {
      if (!process.dead) await journal.close();
    },
  };
}
