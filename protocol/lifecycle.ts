// The one table of an operation's states: which may follow which. Code, tests, the database and WIRE.md use it.

import * as z from 'zod/mini';

/** The states that only the agent's signed word brings about. */
const agentStates = [
  'ACCEPTED',
  'WAITING',
  'SECRET_READY',
  'PASSWORD_SET',
  'VNC_SET',
  'REBOOTING',
  'BOOTED',
  'DONE',
  'PARTIAL',
  'FAILED',
  'REFUSED',
  'INTERRUPTED',
  'CANCELLED',
] as const;
export const agentState = z.enum(agentStates);
export type AgentState = z.infer<typeof agentState>;

/** In the order in which an operation meets them; skipped steps are absent. */
export const states = ['QUEUED', 'PREPARED', 'SENT', ...agentStates, 'EXPIRED'] as const;
export type State = (typeof states)[number];

/**
 * From each state to those that may follow. REBOOTING follows itself when a swallowed reboot is asked for again. EXPIRED
 * is the control plane's presumption about an operation of which it heard nothing more; the agent's signed word replaces
 * it, so agent states may follow it, and nothing follows the other ends.
 */
export const moves: Readonly<Record<State, readonly State[]>> = {
  QUEUED: ['PREPARED', 'REFUSED', 'CANCELLED', 'EXPIRED'],
  PREPARED: ['QUEUED', 'SENT', 'REFUSED', 'CANCELLED', 'EXPIRED'],
  SENT: ['ACCEPTED', 'REFUSED', 'EXPIRED'],
  ACCEPTED: [
    'WAITING',
    'SECRET_READY',
    'PASSWORD_SET',
    'VNC_SET',
    'PARTIAL',
    'FAILED',
    'INTERRUPTED',
    'CANCELLED',
    'EXPIRED',
  ],
  WAITING: ['SECRET_READY', 'PASSWORD_SET', 'VNC_SET', 'PARTIAL', 'FAILED', 'INTERRUPTED', 'CANCELLED', 'EXPIRED'],
  SECRET_READY: ['PASSWORD_SET', 'VNC_SET', 'PARTIAL', 'FAILED', 'INTERRUPTED', 'CANCELLED', 'EXPIRED'],
  PASSWORD_SET: ['VNC_SET', 'REBOOTING', 'PARTIAL', 'EXPIRED'],
  VNC_SET: ['REBOOTING', 'PARTIAL', 'EXPIRED'],
  REBOOTING: ['REBOOTING', 'BOOTED', 'PARTIAL', 'EXPIRED'],
  BOOTED: ['DONE', 'PARTIAL', 'EXPIRED'],
  DONE: [],
  PARTIAL: [],
  FAILED: [],
  REFUSED: [],
  INTERRUPTED: [],
  CANCELLED: [],
  EXPIRED: [...agentStates],
};

export const ends = ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED', 'EXPIRED'] as const;
export type End = (typeof ends)[number];

export function isEnd(state: State): state is End {
  return (ends as readonly State[]).includes(state);
}

export function mayFollow(from: State, to: State): boolean {
  return moves[from].includes(to);
}
