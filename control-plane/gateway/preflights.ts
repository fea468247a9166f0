// Asking a machine whether it can be reset now. One question a machine at a time, few in a row, and each answer belongs to
// the question that is open on this very connection: an older one, or one that nobody asked for, is dropped.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { thumbprint, toBase64url } from '../../protocol/keys.ts';
import { canReset, type Preflight, readPreflight } from '../../protocol/preflight.ts';
import { onlyKey, verifyToken } from '../../protocol/token.ts';
import { PREFLIGHT_SINCE } from '../../protocol/version.ts';
import { appendEvent } from '../store/events.ts';
import { putPreflight, type StoredPreflight } from '../store/preflights.ts';
import type { Vm } from '../store/vms.ts';
import type { AgentSession } from './agent-session.ts';
import type { GatewayParts } from './parts.ts';
import type { Switchboard } from './switchboard.ts';

/** The link gives its executor longer than this; a caller is not kept for all of it. */
export const PREFLIGHT_PATIENCE_MS = 15_000;
/** Questions that a machine may be asked at once, and how soon it may be asked one more. Each starts a process there. */
export const QUESTIONS_AT_ONCE = 10;
const QUESTION_EVERY_MS = 3_000;

type Open = Readonly<{
  nonce: string;
  now: number;
  operator: string;
  answer: Promise<StoredPreflight>;
  settle(found: StoredPreflight): void;
  fail(failure: Failure): void;
}>;

export class Preflights {
  readonly #parts: GatewayParts;
  readonly #switchboard: Pick<Switchboard, 'of'>;
  readonly #patienceMs: number;
  readonly #open = new Map<AgentSession, Open>();
  readonly #allowances = new Map<string, { left: number; at: number }>();

  constructor(parts: GatewayParts, switchboard: Pick<Switchboard, 'of'>, patienceMs = PREFLIGHT_PATIENCE_MS) {
    this.#parts = parts;
    this.#switchboard = switchboard;
    this.#patienceMs = patienceMs;
  }

  /** Throws `AGENT_OFFLINE`, `VERSION_UNSUPPORTED`, `RATE_LIMITED`, or `EXECUTOR_UNAVAILABLE` where no answer comes. */
  async ask(vm: Vm, operator: string): Promise<StoredPreflight> {
    const session = this.#switchboard.of(vm.id);
    if (!session?.socket.open) throw new Failure('AGENT_OFFLINE', { vm: vm.name });
    // A link of an older version would break off on a frame that it does not know, and an operation with it.
    if (session.version < PREFLIGHT_SINCE) {
      const agent_version = vm.agentVersion ?? 'unknown';
      throw new Failure('VERSION_UNSUPPORTED', { vm: vm.name, agent_version, reason: 'agent_outdated' });
    }
    const open = this.#open.get(session);
    if (open) return open.answer;
    this.#spend(vm.id);
    return this.#question(session, operator).answer;
  }

  /** Takes the signed answer. One that does not hold ends the connection, as every signed word does. */
  async answered(session: AgentSession, token: string): Promise<void> {
    const { vm } = session;
    const key = onlyKey(await thumbprint(vm.ek), vm.ek);
    const preflight = readPreflight((await verifyToken(token, 'lk-preflight+jws', key)).payload);
    if (preflight.agent !== vm.agent) throw new Failure('AUD_MISMATCH', { vm: vm.id });
    const open = this.#open.get(session);
    if (open?.nonce !== preflight.nonce || open.now !== preflight.now) {
      this.#parts.log.info({ vm: vm.id }, 'an answer to no open question');
      return;
    }
    await this.#settle(session, open, { token, code: null }, preflight);
  }

  /** Takes the unsigned word that there is none. */
  async notAnswered(session: AgentSession, nonce: string, code: string): Promise<void> {
    const open = this.#open.get(session);
    if (open?.nonce !== nonce) return;
    this.#parts.log.info({ vm: session.vm.id, code }, 'no answer to a preflight');
    if (code !== 'RATE_LIMITED') return this.#settle(session, open, { token: null, code }, null);
    // The link is still busy with a question of ours that we gave up on: that says nothing of the machine.
    this.#open.delete(session);
    open.fail(new Failure('RATE_LIMITED', { vm: session.vm.name }));
  }

  /** The connection has ended. */
  left(session: AgentSession): void {
    const open = this.#open.get(session);
    this.#open.delete(session);
    open?.fail(new Failure('AGENT_OFFLINE', { vm: session.vm.name }));
  }

  #question(session: AgentSession, operator: string): Open {
    const { promise, resolve, reject } = Promise.withResolvers<StoredPreflight>();
    const nonce = toBase64url(this.#parts.randomBytes(32));
    const now = Math.floor(this.#parts.nowMs() / 1_000);
    const timer = setTimeout(() => {
      this.#open.delete(session);
      reject(new Failure('EXECUTOR_UNAVAILABLE', { vm: session.vm.name, reason: 'timeout' }));
    }, this.#patienceMs);
    const answer = promise.finally(() => clearTimeout(timer));
    const open: Open = { nonce, now, operator, answer, settle: resolve, fail: reject };
    this.#open.set(session, open);
    session.socket.send({ t: 'preflight', nonce, now });
    return open;
  }

  async #settle(
    session: AgentSession,
    open: Open,
    said: Pick<StoredPreflight, 'token' | 'code'>,
    preflight: Preflight | null,
  ): Promise<void> {
    const { vm } = session;
    const at = this.#parts.nowMs();
    const found: StoredPreflight = { at, operator: open.operator, ...said };
    this.#open.delete(session);
    try {
      await this.#parts.store.write(async (trx) => {
        await putPreflight(trx, vm.id, found);
        const can = preflight ? canReset(preflight.checks) : { account: false, vnc: false };
        const data = { operator: open.operator, code: said.code, ...can };
        await appendEvent(trx, { at, vm: vm.id, op: null, type: 'vm.preflight', data });
      });
      open.settle(found);
    } catch (error) {
      open.fail(codeOf(error) ? (error as Failure) : new Failure('INTERNAL', {}, error));
      throw error;
    }
  }

  #spend(vm: string): void {
    const at = performance.now();
    const before = this.#allowances.get(vm) ?? { left: QUESTIONS_AT_ONCE, at };
    const left = Math.min(QUESTIONS_AT_ONCE, before.left + (at - before.at) / QUESTION_EVERY_MS);
    if (left < 1) throw new Failure('RATE_LIMITED', { vm });
    this.#allowances.set(vm, { left: left - 1, at });
  }
}
