// What a socket says, gathered until as much is there as is asked for, with one deadline over all of it.

import type { Socket } from 'node:net';

/** A server that says more than this before the verdict is not a VNC server. */
export const HEARD_BYTES_MAX = 4_096;

export class Ended extends Error {
  readonly reason: 'closed' | 'timeout' | 'noise';

  constructor(reason: 'closed' | 'timeout' | 'noise') {
    super(reason);
    this.reason = reason;
  }
}

export type Heard = {
  /** The next bytes; rejects when the connection ends or the time is over before they are there. */
  take(count: number): Promise<Uint8Array>;
  pending(): number;
  /** What happens within that time: nothing, words, or words and the end (or the end alone). */
  rest(ms: number): Promise<'silent' | 'speaks' | 'ends'>;
  /** Lets the socket go, for another to listen to it. */
  stop(): void;
};

/** Gathers what the socket says, with one deadline over all of it. */
export function hear(socket: Socket, deadlineMs: number): Heard {
  let buffer = Buffer.alloc(0);
  let ended: unknown;
  let wake = (): void => {};
  const end = (reason: unknown): void => {
    ended ??= reason;
    wake();
  };
  const deadline = setTimeout(() => end(new Ended('timeout')), deadlineMs - performance.now());
  const take = (chunk: Buffer): void => {
    buffer = Buffer.concat([buffer, chunk]);
    if (buffer.length > HEARD_BYTES_MAX) end(new Ended('noise'));
    wake();
  };
  const close = (): void => end(new Ended('closed'));
  // Stays for good: an error that nobody listens to would stop the program.
  socket.on('error', end);
  socket.on('data', take);
  socket.on('close', close);
  const change = (ms?: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  return {
    async take(count) {
      while (buffer.length < count) {
        if (ended !== undefined) throw ended;
        await change();
      }
      const bytes = Uint8Array.from(buffer.subarray(0, count));
      buffer = buffer.subarray(count);
      return bytes;
    },
    pending: () => buffer.length,
    async rest(ms) {
      const untilMs = performance.now() + ms;
      while (ended === undefined && performance.now() < untilMs) await change(untilMs - performance.now());
      if (ended !== undefined && !(ended instanceof Ended && ended.reason !== 'closed')) return 'ends';
      return buffer.length === 0 && ended === undefined ? 'silent' : 'speaks';
    },
    stop() {
      clearTimeout(deadline);
      socket.off('data', take);
      socket.off('close', close);
    },
  };
}
