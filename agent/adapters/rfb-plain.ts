// The way to TLS inside RFB (VeNCrypt 0.2, subtype X509Plain), after which a user's name and password are sent as they are.
// No certificate is checked: who is at the other end is told by whose socket it is, and nothing leaves the machine.

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Ended, type Heard } from './heard.ts';

export const TYPE_VENCRYPT = 19;
const VERSION = Uint8Array.of(0, 2);
const X509_PLAIN = 262;

/** The encrypted socket; `undefined` where the server offers no such way. `heard` is stopped: the socket is TLS's now. */
export async function encryptPlain(heard: Heard, socket: Socket, deadlineMs: number): Promise<TLSSocket | undefined> {
  await heard.take(VERSION.length);
  socket.write(VERSION);
  const [refused = 1, count = 0] = await heard.take(2);
  if (refused !== 0) return undefined;
  const offered = Buffer.from(await heard.take(4 * count));
  const subtypes = Array.from({ length: count }, (_, at) => offered.readUInt32BE(4 * at));
  if (!subtypes.includes(X509_PLAIN)) return undefined;
  // Few servers speak it, and every executor would load it.
  const tls = await import('node:tls');
  const chosen = Buffer.alloc(4);
  chosen.writeUInt32BE(X509_PLAIN);
  socket.write(chosen);
  const [accepted = 0] = await heard.take(1);
  if (accepted !== 1 || heard.pending() > 0) return undefined;
  heard.stop();
  return secure(tls, socket, deadlineMs);
}

function secure({ connect }: typeof import('node:tls'), socket: Socket, deadlineMs: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = connect({ socket, rejectUnauthorized: false, minVersion: 'TLSv1.2' }, () => {
      clearTimeout(deadline);
      resolve(secured);
    });
    const deadline = setTimeout(() => secured.destroy(new Ended('timeout')), deadlineMs - performance.now());
    secured.once('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    secured.once('close', () => reject(new Ended('closed')));
  });
}
