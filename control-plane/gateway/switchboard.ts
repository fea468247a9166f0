// Which machine is connected through which session: one each. It answers who is online and hands out sessions; it decides
// nothing.

import type { Presence } from '../core/due.ts';
import type { AgentSession } from './agent-session.ts';

export class Switchboard {
  readonly #sessions = new Map<string, AgentSession>();

  of(vm: string): AgentSession | undefined {
    return this.#sessions.get(vm);
  }

  isOnline(vm: string): boolean {
    return this.#sessions.get(vm)?.socket.open ?? false;
  }

  all(): AgentSession[] {
    return [...this.#sessions.values()];
  }

  /** How that machine is connected, and how it stands with that operation on this connection. */
  presence(vm: string, op: string): Presence {
    const session = this.#sessions.get(vm);
    return { online: this.isOnline(vm), synced: session?.synced ?? false, again: session?.neverTaken.has(op) ?? false };
  }

  enter(session: AgentSession): void {
    this.#sessions.set(session.vm.id, session);
  }

  /** Whether it was this very session that the machine was connected through. */
  leave(session: AgentSession): boolean {
    if (this.#sessions.get(session.vm.id) !== session) return false;
    return this.#sessions.delete(session.vm.id);
  }
}
