// The resident half: stays connected, relays between the control plane and executors, and holds no authority. What it may
// decide is when to connect, and that a command is past its time.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { CLOCK_AHEAD_S } from '../../protocol/limits.ts';
import { type RootPayload, roleKeys, type SignedRoot } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { ack as ackSchema, type DownFrame, type Facts } from '../../protocol/session.ts';
import { payloadOf, verifyToken } from '../../protocol/token.ts';
import type { Random } from '../ports/random.ts';
import type { RootShelf } from '../root-shelf.ts';
import { reconnectDelayMs, restartDelayMs } from './backoff.ts';
import type { Report } from './executor-client.ts';
import { ExecutorDesk, type Executors } from './executor-desk.ts';
import { greet, type ServerClock } from './handshake.ts';
import type { LinkIdentity, Progress } from './identity.ts';
import type { Memory } from './memory.ts';
import { Outbox } from './outbox.ts';
import { type Address, ControlPlaneSocket } from './socket.ts';
import type { LinkEvent } from './status-note.ts';

export type LinkParts = Readonly<{
  identity: LinkIdentity;
  roots: RootShelf;
  addresses: readonly Address[];
  executors: Executors;
  agentVersion: string;
  random: Random;
  readBootId(): Promise<string>;
  readFacts(): Promise<Facts>;
  readProgress(): Promise<Progress>;
  storeProgress(progress: Progress): Promise<void>;
  /** Told of every change of the connection. */
  note(event: LinkEvent): Promise<void>;
  memory: Memory;
  log: Logger;
}>;

/** A connection that lived this long was a good one: the next loss starts the back-off anew. */
const STEADY_MS = 60_000;
/** An executor that did not answer is asked again. */
const REPORT_RETRY_MS = 5_000;
/** Executors that start with the machine may be slow; the control plane waits for a hello no longer than twice this. */
const REPORT_PATIENCE_MS = 5_000;
const FACTS_INTERVAL_MS = 3_600_000;

export class Link {
  readonly #parts: LinkParts;
  readonly #desk: ExecutorDesk;
  readonly #outbox: Outbox;
  #socket: ControlPlaneSocket | undefined;
  #clock: ServerClock | undefined;
  #root: RootPayload | undefined;
  /** Something was done since garbage was collected. */
  #littered = true;
  #outgrown = false;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#outbox = new Outbox((token) => this.#socket?.send({ t: 'receipt', token }) ?? false);
    this.#desk = new ExecutorDesk(
      parts.executors,
      {
        ready: (op, token) => this.#socket?.send({ t: 'ready', op, token }),
        receipt: (token) => this.#keep(token),
        refused: (op, code) => this.#socket?.send({ t: 'refused', op, code }),
      },
      parts.log,
    );
  }

  /**
   * Connects again and again until the signal ends it, or until this process holds too much memory, which is said between
   * operations and never in one.
   */
  async run(stop: AbortSignal): Promise<'stopped' | 'outgrown'> {
    const { log, addresses } = this.#parts;
    let host: string | null = null;
    for (let attempt = 1, turn = 0; !stop.aborted; attempt += 1, turn += 1) {
      const startedMs = performance.now();
      let restartWithinMs: number | null = null;
      try {
        const address = addresses[turn % addresses.length];
        if (!address) throw new Failure('TRUST_INVALID', { field: 'url' });
        host = address.url.host;
        restartWithinMs = await this.#connection(address, stop);
        log.info({}, 'disconnected');
        await this.#parts.note({ state: 'disconnected', host });
      } catch (error) {
        if (!codeOf(error)) throw error;
        const { code, details } = error as Failure;
        log.warn({ code, details }, 'connection failed');
        await this.#parts.note({ state: 'disconnected', host, trouble: { code, details } });
      }
      if (this.#hasOutgrown()) {
        await this.#parts.note({ state: 'stopped', host });
        return 'outgrown';
      }
      if (performance.now() - startedMs > STEADY_MS) attempt = 1;
      const [byte = 0, fraction = 0] = this.#parts.random.bytes(2);
      const unit = (byte + fraction / 256) / 256;
      const delayMs =
        restartWithinMs === null ? reconnectDelayMs(attempt, unit) : restartDelayMs(restartWithinMs, unit);
      log.debug({ delayMs, restartWithinMs }, 'connects again later');
      await sleep(delayMs, undefined, { signal: stop }).catch(() => undefined);
    }
    await this.#parts.note({ state: 'stopped', host });
    return 'stopped';
  }

  /** Within what time the control plane wants to be asked again, if it ended and said so. */
  async #connection(address: Address, stop: AbortSignal): Promise<number | null> {
    const { log } = this.#parts;
    // The executor starts while the connection is made.
    const asked = this.#report();
    const socket = await ControlPlaneSocket.open(address).catch(async (error: unknown) => {
      // What is left to be done needs nobody outside, and what is to be proven after a boot is proven soon after it.
      const report = await asked;
      if (report?.open) this.#desk.resume(report.open);
      throw error;
    });
    const end = () => socket.close();
    if (stop.aborted) {
      socket.terminate();
      return null;
    }
    stop.addEventListener('abort', end);
    let stopBeats = () => {};
    let stopFacts = () => {};
    try {
      const report = await soon(asked);
      const { clock, root } = await this.#greet(socket, report);
      this.#clock = clock;
      this.#root = root;
      log.info({ host: address.url.host }, 'connected');
      void this.#parts.note({ state: 'connected', host: address.url.host, serverNow: clock.nowS() });
      this.#outbox.hold();
      this.#socket = socket;
      stopBeats = socket.keepAlive(() => this.#beat(socket));
      stopFacts = this.#sendFacts(socket);
      await this.#bringRoots(report?.root ?? root.version);
      this.#catchUp(socket, report);
      for (let frame = await socket.next(); frame && !this.#outgrown; frame = await socket.next()) {
        this.#littered = true;
        await this.#take(frame);
      }
      return socket.restartWithinMs;
    } finally {
      this.#socket = undefined;
      this.#desk.disconnected();
      stopBeats();
      stopFacts();
      stop.removeEventListener('abort', end);
      socket.terminate();
    }
  }

  /** All that is done at intervals: a word to the control plane, and a look at ourselves while there is nothing else to do. */
  #beat(socket: ControlPlaneSocket): void {
    socket.send({ t: 'heartbeat', uptime_s: Math.floor(process.uptime()) });
    if (this.#littered && this.#desk.idle) {
      this.#littered = false;
      this.#parts.memory.collect();
    }
    if (this.#hasOutgrown()) socket.close();
  }

  #hasOutgrown(): boolean {
    if (!this.#outgrown && this.#desk.idle && this.#parts.memory.outgrown()) {
      this.#outgrown = true;
      this.#parts.log.warn({}, 'this process holds too much memory');
    }
    return this.#outgrown;
  }

  /** What the executor's journal says; without it the link still connects, to be seen. */
  async #report(): Promise<Report | null> {
    try {
      return await this.#desk.report();
    } catch (error) {
      this.#parts.log.error({ code: codeOf(error) ?? 'INTERNAL' }, 'the executor does not answer');
      return null;
    }
  }

  async #greet(socket: ControlPlaneSocket, report: Report | null): ReturnType<typeof greet> {
    const { identity, roots, agentVersion, random } = this.#parts;
    return greet(socket, {
      identity,
      root: await roots.newest(),
      learn: (document) => roots.add(document),
      progress: await this.#parts.readProgress(),
      bootId: await this.#parts.readBootId(),
      journalHead: report?.head ?? null,
      agentVersion,
      random,
      monotonicMs: () => performance.now(),
      store: (progress) => this.#parts.storeProgress(progress),
    });
  }

  /**
   * Executors verify by roots of their own: whatever they have not heard of is given to them. What they cannot take now is
   * given again at the next report; until then they refuse what a newer key signed.
   */
  async #bringRoots(known: number): Promise<void> {
    const { roots, log } = this.#parts;
    try {
      for (let version = known + 1; ; version += 1) {
        const document = await roots.document(version);
        if (document === null) return;
        await this.#desk.bringRoot(document);
      }
    } catch (error) {
      log.error({ code: codeOf(error) ?? 'INTERNAL' }, 'the executor did not take a root');
    }
  }

  async #learnRoot(document: SignedRoot): Promise<void> {
    const { roots, log } = this.#parts;
    const root = await roots.add(document);
    this.#root = root;
    log.info({ version: root.version }, 'a new root');
    await this.#bringRoots(root.version - 1);
  }

  /** Everything unacknowledged goes out before `synced` says so; then what was left behind is taken up. */
  #catchUp(socket: ControlPlaneSocket, report: Report | null): void {
    this.#outbox.hold();
    for (const token of report?.receipts ?? []) this.#keep(token);
    this.#outbox.restart();
    if (!report) {
      // At boot the executor's socket may come up after the link. What was left behind must not wait for the next connection.
      setTimeout(() => void this.#catchUpLater(socket), REPORT_RETRY_MS).unref();
      return;
    }
    // A command of the connection before may still be on its way into the journal.
    this.#outbox.whenAllSent(() => socket.send({ t: 'synced', open: report.open ?? this.#desk.atWork }));
    if (report.open !== null) this.#desk.resume(report.open);
  }

  async #catchUpLater(socket: ControlPlaneSocket): Promise<void> {
    if (this.#socket !== socket) return;
    const report = await this.#report();
    if (this.#socket === socket) this.#catchUp(socket, report);
  }

  /** One receipt that cannot be read, as after a downgrade, must not keep the others back. */
  #keep(token: string): void {
    try {
      this.#outbox.add(token);
    } catch (error) {
      if (!codeOf(error)) throw error;
      this.#parts.log.error({ code: codeOf(error) }, 'a receipt cannot be read');
    }
  }

  async #take(frame: DownFrame): Promise<void> {
    switch (frame.t) {
      case 'root':
        return this.#learnRoot(frame.document);
      case 'prepare':
        return this.#desk.prepare(frame.op, frame.account);
      case 'command':
        return this.#command(frame);
      case 'cancel':
        return this.#desk.cancel(frame.op, frame.token);
      case 'ack':
        return this.#acknowledge(frame.token);
      case 'preflight':
        return this.#preflight(frame.nonce, frame.now);
      case 'error':
        this.#parts.log.warn({ code: frame.code }, 'the control plane reports an error');
        return;
      default:
        throw new Failure('SCHEMA_INVALID', { field: 't', reason: frame.t });
    }
  }

  /** Not waited for: what comes meanwhile may be a command. */
  #preflight(nonce: string, now: number): void {
    const socket = this.#socket;
    this.#desk.preflight(nonce, now).then(
      (token) => socket?.send({ t: 'preflight', token }),
      (error: unknown) => {
        const code = codeOf(error) ?? 'INTERNAL';
        this.#parts.log.warn({ code }, 'no answer to a preflight');
        socket?.send({ t: 'no_preflight', nonce, code });
      },
    );
  }

  /** Freshness on the server's time is the link's part; all else about a command is the executor's. */
  #command({ op, token, intent }: Extract<DownFrame, { t: 'command' }>): void {
    const nowS = this.#clock?.nowS() ?? 0;
    const { iat, exp } = timesOf(token);
    if (typeof iat !== 'number' || typeof exp !== 'number') this.#refuse(op, 'SCHEMA_INVALID');
    else if (nowS > exp) this.#refuse(op, 'EXPIRED');
    else if (iat > nowS + CLOCK_AHEAD_S) this.#refuse(op, 'NOT_YET_VALID');
    else this.#desk.execute(op, token, intent);
  }

  #refuse(op: string, code: string): void {
    this.#parts.log.warn({ op, code }, 'command not handed over');
    this.#socket?.send({ t: 'refused', op, code });
  }

  async #acknowledge(token: string): Promise<void> {
    if (!this.#root || !this.#clock) return;
    const keys = roleKeys(this.#root, 'session', this.#clock.nowS());
    const { payload } = await verifyToken(token, 'lk-ack+jws', keys);
    const { agent, op, n } = parseSchema(ackSchema, payload);
    if (agent !== this.#parts.identity.agent) throw new Failure('AUD_MISMATCH');
    this.#outbox.acknowledge(op, n);
    this.#desk.acknowledge(op, token);
  }

  #sendFacts(socket: ControlPlaneSocket): () => void {
    const send = () => {
      this.#parts.readFacts().then(
        (facts) => socket.send({ t: 'facts', facts }),
        (error: unknown) => this.#parts.log.warn({ code: codeOf(error) ?? 'INTERNAL' }, 'no facts about this machine'),
      );
    };
    send();
    const timer = setInterval(send, FACTS_INTERVAL_MS);
    return () => clearInterval(timer);
  }
}

/** A report that comes in time. One that is late is asked for again once the connection stands. */
async function soon(asked: Promise<Report | null>): Promise<Report | null> {
  const came = new AbortController();
  const late = sleep(REPORT_PATIENCE_MS, null, { signal: came.signal }).catch(() => null);
  return Promise.race([asked, late]).finally(() => came.abort());
}

/** When a command says that it is good; nothing where it cannot be read. */
function timesOf(token: string): { iat?: unknown; exp?: unknown } {
  try {
    return (payloadOf(token) ?? {}) as { iat?: unknown; exp?: unknown };
  } catch (error) {
    if (!codeOf(error)) throw error;
    return {};
  }
}
