// One RFB handshake up to the server's verdict on a credential (RFC 6143, section 7.1). Never sends ClientInit, so that no
// session starts and nobody is disconnected; never makes a second connection, because servers count them against the
// address; and never says anything that depends on the password to another process than the server that is meant.

import { connect, type Socket } from 'node:net';
import type { VncVerdict } from '../ports/vnc.ts';
import { errnoOf } from './errno.ts';
import { Ended, HEARD_BYTES_MAX, type Heard, hear } from './heard.ts';
import { encryptPlain, TYPE_VENCRYPT } from './rfb-plain.ts';
import { answerChallenge, CHALLENGE_BYTES } from './vncauth.ts';

const GREETING_BYTES = 12;
const TYPE_NONE = 1;
const TYPE_VNCAUTH = 2;

export type RfbOptions = Readonly<{
  address: string;
  port: number;
  /** The address to come from: an own one, so that failures do not count against users of a proxy on 127.0.0.1. */
  localAddress: string;
  timeoutMs: number;
  /** A true acceptance is followed by silence; some servers send more after a refusal that reads as acceptance. */
  quietMs: number;
  /** Whether it is the server that has the other end of the connection, by its ports. */
  isServer(ports: Readonly<{ port: number; peerPort: number }>): boolean;
}>;

/** With a user's name the password is sent as it is, inside TLS (VeNCrypt); without, VncAuth. */
export type Credential = Readonly<{ user: string | undefined; password: Uint8Array }>;

/** `bind` means that the address is not there to come from: no connection was made. */
export async function authenticateRfb(options: RfbOptions, credential: Credential): Promise<VncVerdict | 'bind'> {
  const { address: host, port, localAddress, timeoutMs } = options;
  const socket = connect({ host, port, localAddress });
  const deadlineMs = performance.now() + timeoutMs;
  const heard = hear(socket, deadlineMs);
  try {
    return await handshake({ heard, socket, deadlineMs, options, credential });
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

type Talk = Readonly<{
  heard: Heard;
  socket: Socket;
  deadlineMs: number;
  options: RfbOptions;
  credential: Credential;
}>;

async function handshake(talk: Talk): Promise<VncVerdict> {
  const { heard, socket, options, credential } = talk;
  const greeting = text(await heard.take(GREETING_BYTES));
  const version = /^RFB 003\.([0-9]{3})\n$/.exec(greeting)?.[1];
  if (version === undefined) return unknown('greeting');
  const minor = Number(version) >= 8 ? 8 : Number(version) === 7 ? 7 : 3;
  // A server that has locked this address out says so in a 3.3 greeting and does not listen any more.
  if (heard.pending() === 0) socket.write(`RFB 003.00${minor}\n`);
  const wanted = credential.user === undefined ? TYPE_VNCAUTH : TYPE_VENCRYPT;
  const refused = minor === 3 ? await readOneType(heard, wanted) : await readTypes(heard, socket, wanted);
  if (refused) return refused;
  const { user, password } = credential;
  if (user !== undefined) return proveByName(talk, { user, password });
  const challenge = await heard.take(CHALLENGE_BYTES);
  if (!isServer(talk)) return unknown('other_process');
  socket.write(answerChallenge(challenge, password));
  return readVerdict(heard, minor, options.quietMs);
}

/** Asked when the other side has spoken: who speaks has taken the connection, so by now it is seen whose it is. */
function isServer({ options, socket }: Talk): boolean {
  return options.isServer({ port: options.port, peerPort: socket.localPort ?? 0 });
}

async function proveByName(talk: Talk, named: Readonly<{ user: string; password: Uint8Array }>): Promise<VncVerdict> {
  const { heard, socket, deadlineMs, options } = talk;
  const secured = await encryptPlain(heard, socket, deadlineMs);
  if (secured === undefined) return unknown('types');
  if (!isServer(talk)) {
    secured.destroy();
    return unknown('other_process');
  }
  const inside = hear(secured, deadlineMs);
  try {
    const message = plainMessage(named);
    secured.write(message, () => message.fill(0));
    return await readVerdict(inside, 8, options.quietMs);
  } finally {
    inside.stop();
    secured.destroy();
  }
}

function plainMessage({ user, password }: Readonly<{ user: string; password: Uint8Array }>): Buffer {
  const name = Buffer.from(user);
  const message = Buffer.alloc(8 + name.length + password.length);
  message.writeUInt32BE(name.length, 0);
  message.writeUInt32BE(password.length, 4);
  message.set(name, 8);
  message.set(password, 8 + name.length);
  return message;
}

/** RFB 3.3: the server names the type. */
async function readOneType(heard: Heard, wanted: number): Promise<VncVerdict | undefined> {
  const type = word(await heard.take(4));
  if (type === wanted && wanted === TYPE_VNCAUTH) return undefined;
  if (type === 0) return unknown(refusalReason(await readReason(heard)));
  return unknown(type === TYPE_NONE ? 'open' : 'types');
}

/** RFB 3.7 and later: the server lists types and the client chooses. */
async function readTypes(heard: Heard, socket: Socket, wanted: number): Promise<VncVerdict | undefined> {
  const [count = 0] = await heard.take(1);
  if (count === 0) return unknown(refusalReason(await readReason(heard)));
  const types = await heard.take(count);
  // A server that also lets anyone in without a password proves nothing by accepting one.
  if (types.includes(TYPE_NONE)) return unknown('open');
  if (!types.includes(wanted)) return unknown('types');
  socket.write(Uint8Array.of(wanted));
  return undefined;
}

async function readVerdict(heard: Heard, minor: number, quietMs: number): Promise<VncVerdict> {
  const result = word(await heard.take(4));
  if (result === 0) {
    const rest = await heard.rest(quietMs);
    if (rest === 'silent') return { verdict: 'accepted', reason: 'accepted' };
    // neatvnc before 0.7 writes its refusal so that it begins like an acceptance, and ends the connection.
    return rest === 'ends' && heard.pending() > 0 ? { verdict: 'rejected', reason: 'ends' } : unknown('not_silent');
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

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function word(bytes: Uint8Array): number {
  return Buffer.from(bytes).readUInt32BE(0);
}
