// The load as the benchmark sees it: a process that plays agents, told what they shall do.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandFigures } from './commands.ts';
import type { Served } from './served.ts';
import type { Spread } from './table.ts';

/** How an agent can be bad: the names are what the table calls them. */
export const BAD_WAYS = [
  'says more than it may',
  'pings and never reads',
  'lies about who it is',
  'never answers',
] as const;
export type BadWay = (typeof BAD_WAYS)[number];

export type Order =
  | Readonly<{ do: 'make'; from: number; count: number; url: string; isBare: boolean }>
  | Readonly<{ do: 'connect'; inFlight: number }>
  | Readonly<{ do: 'drop' }>
  | Readonly<{ do: 'heartbeats'; perSecond: number; seconds: number }>
  | Readonly<{ do: 'pings'; count: number; seconds: number }>
  | Readonly<{ do: 'commands'; count: number; inFlight: number; api: Served['api'] }>
  | Readonly<{ do: 'misbehave'; how: BadWay }>;

export type Figures = Partial<Spread & Readonly<{ ms: number; turnedAway: number; count: number }>>;

export class Fleet {
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit').then(() => {
      throw new Error('the process that plays the agents ended');
    });
    this.#ended.catch(() => undefined);
  }

  static async of(served: Served, count: number, from = 0): Promise<Fleet> {
    const fleet = new Fleet(fork(join(import.meta.dirname, 'fleet-program.ts')));
    await fleet.tell({ do: 'make', from, count, url: served.url, isBare: served.kind === 'bare' });
    return fleet;
  }

  async tell(order: Order): Promise<Required<Figures>> {
    return this.#tell(order) as Promise<Required<Figures>>;
  }

  async commands(order: Omit<Extract<Order, { do: 'commands' }>, 'do'>): Promise<CommandFigures> {
    return this.#tell({ do: 'commands', ...order }) as Promise<CommandFigures>;
  }

  async #tell(order: Order): Promise<unknown> {
    const answer = new Promise((resolve) => this.#child.once('message', resolve));
    this.#child.send(order);
    return Promise.race([answer, this.#ended]);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

/** Files that a process of ours may have open, of which sockets are some. */
export function openFilesMax(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 0);
}
