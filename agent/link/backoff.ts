// How long to wait before the next try to connect: exponential with full jitter, so that many agents that lost one server
// do not come back in step.

import { RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../../protocol/limits.ts';

/**
 * Milliseconds to wait before try `attempt` (1 is the first after a loss). `unit` is uniform in [0, 1). The lower bound
 * holds always: a server that refuses at once is not hammered.
 */
export function reconnectDelayMs(attempt: number, unit: number): number {
  const ceiling = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(attempt, 16));
  return RECONNECT_MS_MIN + Math.floor(unit * (ceiling - RECONNECT_MS_MIN));
}

/**
 * A control plane that ends says within what time its machines shall come back, and each draws its own moment of it. Nothing that it
 * says keeps a machine away for longer than the back-off does.
 */
export function restartDelayMs(withinMs: number, unit: number): number {
  const span = Math.min(RECONNECT_MS_MAX, Math.max(RECONNECT_MS_MIN, withinMs)) - RECONNECT_MS_MIN;
  return RECONNECT_MS_MIN + Math.floor(unit * span);
}
