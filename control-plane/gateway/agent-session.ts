// One authenticated connection of one machine, and what was said on it. Everything here is lost with the connection; what
// must last is in the store.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Conversation } from '../core/dispatch.ts';
import type { EnrolledVm } from '../store/vms.ts';
import type { AgentSocket } from './agent-socket.ts';

/** After a refusal a machine is asked again later and later, between these two. */
const ASK_AGAIN_MS_MIN = 2_000;
const ASK_AGAIN_MS_MAX = 60_000;
/** An executor that does not answer `prepare` at all is asked again after this long. */
const UNANSWERED_PREPARE_MS = 20_000;
/** Alarms that one connection may write into history; beyond it they are in the log alone. */
const ALARMS_MAX = 20;

/** Frames that one connection may say at once, and in each second after that; more are left waiting. */
export const FRAMES_AT_ONCE = 200;
export const FRAMES_PER_SECOND = 20;

type Spoken = Readonly<{ id: string; replaces: string | null; rootVersion: number; version: number }>;

export class AgentSession implements Conversation {
  /** This connection among all that the machine ever had. */
  readonly id: string;
  /** The one at another gateway that this one takes over from. */
  readonly replaces: string | null;
  readonly vm: EnrolledVm;
  readonly socket: AgentSocket;
  /** The wire's version on this connection: what a later one brought is not said here. */
  readonly version: number;
  /** Operations whose command went out on this very connection. */
  readonly sent = new Set<string>();
  readonly neverTaken = new Set<string>();
  readonly cancelled = new Map<string, number>();
  /** The newest root that the machine was brought. */
  rootVersion: number;
  /** Whether the store knows of it: from then on it lasts as long as it does there. */
  entered = false;
  synced = false;
  asked: { op: string; againAt: number } | null = null;
  #refusals = 0;
  readonly #cancelRefusals = new Map<string, number>();
  #alarms = 0;
  #allowance = FRAMES_AT_ONCE;
  #allowanceAt = performance.now();

  constructor(vm: EnrolledVm, socket: AgentSocket, { id, replaces, rootVersion, version }: Spoken) {
    this.id = id;
    this.replaces = replaces;
    this.vm = vm;
    this.socket = socket;
    this.rootVersion = rootVersion;
    this.version = version;
  }

  prepareSent(op: string, now: number): void {
    if (this.asked?.op !== op) this.#refusals = 0;
    this.asked = { op, againAt: now + UNANSWERED_PREPARE_MS };
  }

  /** The machine cannot do it now. */
  prepareRefused(op: string, now: number): void {
    if (this.asked?.op !== op) return;
    this.#refusals += 1;
    this.asked = { op, againAt: now + laterMs(this.#refusals) };
  }

  cancelSent(op: string): void {
    this.cancelled.set(op, Number.POSITIVE_INFINITY);
  }

  /** The machine refused something about the operation: it may have been the cancel, as when that overtook its command. */
  cancelRefused(op: string, now: number): void {
    if (!this.cancelled.has(op)) return;
    const refusals = (this.#cancelRefusals.get(op) ?? 0) + 1;
    this.#cancelRefusals.set(op, refusals);
    this.cancelled.set(op, now + laterMs(refusals));
  }

  /** It was ready once; should it be asked again, then at once. */
  prepareAnswered(op: string): void {
    if (this.asked?.op === op) this.asked = { op, againAt: 0 };
    this.#refusals = 0;
  }

  /** Waits until one more frame may be taken: what a machine says costs room in the store. */
  async allowance(): Promise<void> {
    const now = performance.now();
    const earned = ((now - this.#allowanceAt) * FRAMES_PER_SECOND) / 1_000;
    this.#allowance = Math.min(FRAMES_AT_ONCE, this.#allowance + earned) - 1;
    this.#allowanceAt = now;
    // What a closed connection left behind is bounded, and nobody waits for it.
    if (this.#allowance < 0 && this.socket.open) await sleep((-this.#allowance * 1_000) / FRAMES_PER_SECOND);
  }

  /** Whether one more alarm may be written. */
  mayAlarm(): boolean {
    this.#alarms += 1;
    return this.#alarms <= ALARMS_MAX;
  }
}

function laterMs(refusals: number): number {
  return Math.min(ASK_AGAIN_MS_MAX, ASK_AGAIN_MS_MIN * 2 ** (refusals - 1));
}
