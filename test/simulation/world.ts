// One simulation: a scenario, the machine it plays on, and the processes that follow one another there until the operation
// has ended. It brings the blows that the scenario plans and looks, in each moment, at what must hold in that moment.

import { readChain } from '../../agent/adapters/journal-chain.ts';
import { type Entry, isEnded, type Operation, readLedger } from '../../agent/core/ledger.ts';
import type { Answer } from '../../agent/executor/channel.ts';
import { Failure } from '../../protocol/failure.ts';
import type { Slot } from '../../protocol/seal.ts';
import type { Ready } from '../../protocol/session.ts';
import { payloadOf } from '../../protocol/token.ts';
import { ackOf, cancelOrder, order, type Wished } from '../agent/executor/orders.ts';
import { OP, seal } from '../protocol/samples.ts';
import { Blows } from './blows.ts';
import { Chance } from './chance.ts';
import { draw, SimulatedMachine } from './machine.ts';
import { complaintsOfAnswer, complaintsOfChange, complaintsOfReboot } from './moments.ts';
import { type Site, simulatedParts } from './ports.ts';
import { PlantedDefect, SimulatedProcess, type Surroundings, settle, type Verdict } from './process.ts';
import { type Episode, type Happening, quiet, type Scenario, type SecretWish } from './scenario.ts';

/** More processes than this without an end, with nothing going wrong any more, are a machine that is stuck. */
const RESTARTS_MAX = 8;
const OTHER_OP = `op_${'0'.repeat(25)}7`;

/** To whom generated secrets are sealed: a key made from plain counting. */
export const operator = seal;

export class World implements Surroundings {
  readonly scenario: Scenario;
  readonly machine: SimulatedMachine;
  readonly chance: Chance;
  readonly trace: string[] = [];
  /** Rules that did not hold. */
  readonly broken: string[] = [];
  readonly log: string[] = [];
  /** Everything that any process said, in the order of saying. */
  readonly answers: Answer[] = [];
  readonly typed: Readonly<Record<Slot, string>>;
  /** The evidence could not be read at some time: a cautious end is allowed then. */
  blinded = false;
  /** A cancel was taken while the grace period ran. */
  cancelledInGrace = false;
  command: string | undefined;
  readonly #site: Site;
  readonly #live = new Set<SimulatedProcess>();
  #ready: Ready | undefined;
  readonly #blows: Blows;
  #happenings: Happening[] = [];
  #lineStart = 0;
  #started = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.chance = new Chance(scenario.seed ^ 0x5eed);
    this.#blows = new Blows(this.chance);
    this.machine = new SimulatedMachine(scenario.machine, this.chance);
    this.typed = { account: draw(this.chance, 20), vnc: draw(this.chance, 8) };
    this.#site = {
      machine: this.machine,
      log: this.log,
      box: { token: null },
      seed: scenario.seed,
      shutdownMs: scenario.machine.shutdownMs,
      denies: scenario.machine.denies,
      changing: (slot, secret) => this.broken.push(...complaintsOfChange(this, slot, secret)),
      rebooting: () => this.broken.push(...complaintsOfReboot(this)),
      goDown: () => this.#goDown(() => this.machine.reboot(), 'the machine reboots'),
    };
  }

  get operation(): Operation | undefined {
    return readLedger(this.entries).get(OP);
  }

  get entries(): readonly Entry[] {
    return readChain(this.machine.journal).records as readonly Entry[];
  }

  get open(): boolean {
    const { operation } = this;
    return operation !== undefined && !isEnded(operation);
  }

  note(line: string): void {
    this.trace.push(line);
  }

  /** Plays the scenario and then lets the machine run to the end of the operation. */
  async play(): Promise<void> {
    await this.playEpisodes();
    await this.#runOut();
    // A disk that stays full or broken is repaired in the end; nothing can be written down before.
    if (this.open && this.#blows.strikeJournal) {
      this.note('the journal can be written again');
      this.#blows.clear();
      await this.#runOut();
    }
    this.#blows.clear();
    if (this.open) this.broken.push(`the operation stays ${this.operation?.state}`);
  }

  async playEpisodes(): Promise<void> {
    const [first = quiet, ...later] = this.scenario.episodes;
    this.#plan(first);
    await this.#accept();
    for (const episode of later) {
      if (!this.open) break;
      await this.#begin(episode);
      this.#plan(episode);
      await this.#one('resume', { t: 'resume' }, true);
    }
    this.#plan(quiet);
  }

  async #runOut(): Promise<void> {
    for (let i = 0; i < RESTARTS_MAX && this.open; i += 1) await this.#one('resume', { t: 'resume' }, true);
  }

  /** What was left behind, here or by an older version, is taken up. */
  async resume(): Promise<void> {
    await this.#runOut();
  }

  /** One process with one request beside or after the work, from its start to its end. */
  run(request: object): Promise<SimulatedProcess> {
    return this.#one((request as { t: string }).t, request, false);
  }

  /** The command that was sent once, sent again to a process that waits for one of that operation. */
  async replay(): Promise<void> {
    const process = this.#start('replay', false);
    process.send({ t: 'prepare', op: OP, account: null });
    await process.answer('ready');
    if (this.command) process.send({ t: 'execute', token: this.command });
    process.finish();
    await this.#end(process);
  }

  async acknowledge(n: number): Promise<void> {
    await this.run({ t: 'ack', token: await ackOf(OP, n) });
  }

  /** Prepares and executes; `token` for a command that was sent before. */
  async #accept(): Promise<void> {
    const process = this.#start('execute', true);
    process.send({ t: 'prepare', op: OP, account: null });
    const ready = await process.answer('ready');
    if (ready?.t !== 'ready' || process.dead) return;
    this.#ready = payloadOf(ready.token) as Ready;
    if (this.scenario.machine.vnc === 'vanishes' && this.machine.server) this.machine.server.running = false;
    const { account, vnc, graceS, unlock } = this.scenario.order;
    const wished = (slot: Slot, wish: SecretWish): Wished | null =>
      wish === 'typed' ? { typed: this.typed[slot] } : wish;
    this.command = await order(this.#ready, {
      account: wished('account', account),
      vnc: wished('vnc', vnc),
      graceS,
      unlock,
      recipient: operator,
    });
    process.send({ t: 'execute', token: this.command });
    await this.#end(process);
  }

  async #begin({ first }: Episode): Promise<void> {
    if (first) this.note(`between two processes: ${first}`);
    if (first === 'power_cut') this.#goDown(() => this.machine.powerCut(), 'the power goes');
    if (first === 'torn') this.machine.journal = Buffer.concat([this.machine.journal, Buffer.from('{"prev":"')]);
    if (first === 'ack') await this.acknowledge(this.#someReceipt());
    if (first === 'cancel') await this.#cancel();
  }

  #plan({ blow, happenings }: Episode): void {
    this.#blows.plan(blow);
    this.#happenings = [...happenings];
  }

  #start(name: string, main: boolean): SimulatedProcess {
    this.#started += 1;
    this.note(`${main ? '' : '  beside it: '}process ${this.#started}: ${name}`);
    const process = new SimulatedProcess(`${name}-${this.#started}`, main, this, (self) =>
      simulatedParts(this.#site, self),
    );
    this.#live.add(process);
    return process;
  }

  async #one(name: string, request: object, main: boolean): Promise<SimulatedProcess> {
    const process = this.#start(name, main);
    process.send(request);
    if (!main) process.finish();
    await this.#end(process);
    return process;
  }

  async #end(process: SimulatedProcess): Promise<void> {
    const error = await process.over;
    this.#live.delete(process);
    if (error !== undefined && !(error instanceof PlantedDefect))
      this.broken.push(`a process died of a defect: ${(error as Error).stack}`);
    // Whatever a process held is let go when it is over.
    if (process.main) this.machine.endProcess();
    if (process.main) this.note(`  over: ${this.operation?.state ?? 'nothing accepted'}`);
    await settle();
  }

  // What the gates of the processes ask and tell.

  verdict(process: SimulatedProcess, call: string): Verdict | undefined {
    if (call === 'journal.append') this.#lineStart = this.machine.journal.length;
    return process.main ? this.#blows.due(call) : undefined;
  }

  async called(process: SimulatedProcess, call: string): Promise<void> {
    this.note(`${process.main ? '  ' : '    '}${process.calls} ${call}`);
    if (!process.main || call.startsWith('journal.')) return;
    const due = this.#happenings.filter(({ at }) => at <= process.calls);
    this.#happenings = this.#happenings.filter(({ at }) => at > process.calls);
    for (const { what } of due) if (!process.dead) await this.#happen(process, what, call);
  }

  struck(process: SimulatedProcess, call: string, { when, how }: Verdict): void {
    this.note(`    ${how instanceof Failure ? `fails with ${how.code}` : how}, ${when} ${call}`);
    this.blinded ||= ['accounts.fingerprint', 'vnc.files', 'accounts.setPassword'].includes(call);
    if (how === 'defect' || how instanceof Failure) return;
    if (when === 'after') this.machine.synced();
    if (when === 'during' && call === 'journal.append') this.machine.tearLine(this.#lineStart);
    if (how === 'power_cut') this.#goDown(() => this.machine.powerCut(), 'the power goes');
    process.die();
    this.machine.endProcess();
  }

  returned(_: SimulatedProcess, call: string): void {
    if (call.endsWith('.setPassword')) this.machine.synced();
  }

  said(process: SimulatedProcess, answer: Answer): void {
    this.answers.push(answer);
    this.broken.push(...complaintsOfAnswer(this, answer));
    if (answer.t !== 'receipt' || !process.main) return;
    process.listening = true;
    if (this.scenario.machine.bootOverride && this.machine.boots === 1) this.machine.facts = { bootOverride: true };
  }

  #goDown(act: () => void, why: string): void {
    this.note(`    ${why}`);
    for (const process of this.#live) process.die();
    act();
  }

  async #happen(process: SimulatedProcess, what: Happening['what'], call: string): Promise<void> {
    this.note(`    meanwhile: ${what}`);
    if (what === 'disconnect') process.disconnect();
    if (what === 'cancel') {
      const taken = await this.#cancel();
      this.cancelledInGrace ||= taken && call === 'clock.sleep' && this.operation?.state === 'WAITING';
    }
    if (what === 'receipts' || what === 'resume') await this.run({ t: what });
    if (what === 'prepare') await this.run({ t: 'prepare', op: OTHER_OP, account: null });
    if (what === 'ack_process') await this.acknowledge(this.#someReceipt());
    if (what === 'again' && this.command) process.send({ t: 'execute', token: this.command });
    if (what === 'ack' && process.listening) await this.#acknowledgeTo(process);
  }

  /** Whether it was taken. */
  async #cancel(): Promise<boolean> {
    if (!this.#ready) return false;
    const { heard } = await this.run({ t: 'cancel', token: await cancelOrder(this.#ready) });
    return heard.some(({ t }) => t === 'end') && !heard.some(({ t }) => t === 'refused');
  }

  /** Tells the process at work and waits until it has taken it, so that the order of things is the same each time. */
  async #acknowledgeTo(process: SimulatedProcess): Promise<void> {
    const taken = () => this.#acks() + this.log.filter((line) => line.includes('refused while at work')).length;
    const before = taken();
    process.send({ t: 'ack', token: await ackOf(OP, this.#someReceipt()) });
    for (let turn = 0; turn < 2_000 && !process.dead && taken() === before; turn += 1) await settle();
  }

  #acks(): number {
    return this.entries.filter(({ kind }) => kind === 'acked').length;
  }

  #someReceipt(): number {
    return 1 + this.chance.int(Math.max(1, this.operation?.receipts.length ?? 1));
  }
}
