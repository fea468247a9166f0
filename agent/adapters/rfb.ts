// One RFB handshake up to the answer to VncAuth (RFC 6143, section 7.1). Never sends ClientInit, so that no session
// starts and nobody is disconnected; never makes a second connection, because servers count them against the address.

import { connect, type Socket } from 'node:net';
import type { VncVerdict } from '../ports/vnc.ts';
import { errnoOf } from './errno.ts';
import { answerChallenge, CHALLENGE_BYTES } from './vncauth.ts';

const GREETING_BYTES = 12;
const TYPE_NONE = 1;
const TYPE_VNCAUTH = 2;
/** A server that says more than this before the verdict is not a VNC server. */
const HEARD_BYTES_MAX = 4_096;

export type RfbOptions = Readonly<{
  port: number;
  /** The address to come from: an own one, so that failures do not count against users of a proxy on 127.0.0.1. */
  localAddress: string;
  timeoutMs: number;
  /** A true acceptance is followed by silence; some servers send more after a refusal that reads as acceptance. */
  quietMs: number;
}>;

/** `bind` means that the address is not there to come from: no connection was made. */
export async function authenticateRfb(options: RfbOptions, password: Uint8Array): Promise<VncVerdict | 'bind'> {
  const socket = connect({ host: '127.0.0.1', port: options.port, localAddress: options.localAddress });
  const heard = hear(socket, options.timeoutMs);
  try {
    return await handshake(heard, socket, password, options.quietMs);
  } catch (error) {
    if (error instanceof Ended) return unknown(error.reason);
    const errno = errnoOf(error);
    if (errno === 'EADDRNOTAVAIL' || errno === 'EINVAL') return 'bind';
    return unknown(errno === 'ECONNREFUSED' ? 'not_listening' : 'closed');
  } finally {
    heard.stop();
    socket.destroy();
  }
}

async function handshake(heard: Heard, socket: Socket, password: Uint8Array, quietMs: number): Promise<VncVerdict> {
  const greeting = text(await heard.take(GREETING_BYTES));
  const version = /^RFB 003\.([0-9]{3})\n$/.exec(greeting)?.[1];
  if (version === undefined) return unknown('greeting');
  const minor = Number(version) >= 8 ? 8 : Number(version) === 7 ? 7 : 3;
  // A server that has locked this address out says so in a 3.3 greeting and does not listen any more.
  if (heard.pending() === 0) socket.write(`RFB 003.00${minor}\n`);
  const refused = minor === 3 ? await readOneType(heard) : await readTypes(heard, socket);
  if (refused) return refused;
  const answer = answerChallenge(await heard.take(CHALLENGE_BYTES), password);
  socket.write(answer);
  return readVerdict(heard, minor, quietMs);
}

/** RFB 3.3: the server names the type. */
async function readOneType(heard: Heard): Promise<VncVerdict | undefined> {
  const type = word(await heard.take(4));
  if (type === TYPE_VNCAUTH) return undefined;
  if (type === 0) return unknown(refusalReason(await readReason(heard)));
  return unknown(type === TYPE_NONE ? 'open' : 'types');
}

/** RFB 3.7 and later: the server lists types and the client chooses. */
async function readTypes(heard: Heard, socket: Socket): Promise<VncVerdict | undefined> {
  const [count = 0] = await heard.take(1);
  if (count === 0) return unknown(refusalReason(await readReason(heard)));
  const types = await heard.take(count);
  // A server that also lets anyone in without a password proves nothing by accepting one.
  if (types.includes(TYPE_NONE)) return unknown('open');
  if (!types.includes(TYPE_VNCAUTH)) return unknown('types');
  socket.write(Uint8Array.of(TYPE_VNCAUTH));
  return undefined;
}

async function readVerdict(heard: Heard, minor: number, quietMs: number): Promise<VncVerdict> {
  const result = word(await heard.take(4));
  if (result === 0) {
    const silent = await heard.silent(quietMs);
    return silent ? { verdict: 'accepted', reason: 'accepted' } : unknown('not_silent');
  }
  if (result !== 1) return unknown('blocked');
  const words = minor === 8 ? await readReason(heard).catch(() => '') : '';
  if (/too many/i.test(words)) return unknown('blocked');
  // Said after a right password only, by servers that take one viewer at a time.
  if (/already in use/i.test(words)) return { verdict: 'accepted', reason: 'busy' };
  return { verdict: 'rejected', reason: /no password/i.test(words) ? 'no_password' : 'rejected' };
}

async function readReason(heard: Heard): Promise<string> {
  const length = word(await heard.take(4));
  return text(await heard.take(Math.min(length, HEARD_BYTES_MAX)));
}

/** The server's words become one of few reasons and go no further. */
function refusalReason(words: string): string {
  return /too many/i.test(words) ? 'blocked' : 'refused';
}

function unknown(reason: string): VncVerdict {
  return { verdict: 'unknown', reason };
}

class Ended extends Error {
  readonly reason: 'closed' | 'timeout' | 'noise';

  constructor(reason: 'closed' | 'timeout' | 'noise') {
    super(reason);
    this.reason = reason;
  }
}

type Heard = {
  /** The next bytes; rejects when the connection ends or the time is over before they are there. */
  take(count: number): Promise<Uint8Array>;
  pending(): number;
  /** Whether nothing more is heard, and the connection stays, for that long. */
  silent(ms: number): Promise<boolean>;
  stop(): void;
};

/** Gathers what the socket says, with one deadline over all of it. */
function hear(socket: Socket, timeoutMs: number): Heard {
  let buffer = Buffer.alloc(0);
  let ended: unknown;
  let wake = (): void => {};
  const end = (reason: unknown): void => {
    ended ??= reason;
    wake();
  };
  const deadline = setTimeout(() => end(new Ended('timeout')), timeoutMs);
  socket.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    if (buffer.length > HEARD_BYTES_MAX) end(new Ended('noise'));
    wake();
  });
  socket.on('error', end);
  socket.on('close', () => end(new Ended('closed')));
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
    async silent(ms) {
      if (buffer.length === 0 && ended === undefined) await change(ms);
      return buffer.length === 0 && ended === undefined;
    },
    stop: () => clearTimeout(deadline),
  };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function word(bytes: Uint8Array): number {
  return Buffer.from(bytes).readUInt32BE(0);
}
