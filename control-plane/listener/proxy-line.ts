// The line that a proxy puts before the bytes of a connection that it passes on: who is at its other end (HAProxy's PROXY protocol,
// version 1). It is read from configured proxies alone, so that TLS goes through them untouched and the address is still known.

import { isIP, type Socket } from 'node:net';

/** As the protocol has it, with the line's end. */
const LINE_BYTES_MAX = 107;

/**
 * The client's address, with everything after the line given back to the socket; `null` where the proxy speaks for itself (`UNKNOWN`).
 * Rejects where there is no such line in time.
 */
export function readProxyLine(socket: Socket, withinMs: number): Promise<string | null> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const end = (work: () => void) => {
      clearTimeout(timer);
      socket.off('readable', onReadable).off('close', onClose);
      work();
    };
    const refuse = () => end(() => reject(new RangeError('no PROXY line')));
    const onClose = () => refuse();
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        bytes = Buffer.concat([bytes, chunk]);
      }
      const at = bytes.indexOf('\r\n');
      if (at < 0) {
        if (bytes.length >= LINE_BYTES_MAX) refuse();
        return;
      }
      const address = addressIn(bytes.toString('latin1', 0, at));
      if (at + 2 > LINE_BYTES_MAX || address === undefined) return refuse();
      end(() => {
        if (bytes.length > at + 2) socket.unshift(bytes.subarray(at + 2));
        resolve(address);
      });
    };
    const timer = setTimeout(refuse, withinMs);
    socket.on('readable', onReadable).once('close', onClose);
  });
}

/** `undefined` where it is no such line. */
function addressIn(line: string): string | null | undefined {
  if (/^PROXY UNKNOWN( |$)/.test(line)) return null;
  const [, kind, address = ''] = /^PROXY TCP([46]) (\S+) \S+ [0-9]{1,5} [0-9]{1,5}$/.exec(line) ?? [];
  return kind !== undefined && isIP(address) === Number(kind) ? address : undefined;
}
