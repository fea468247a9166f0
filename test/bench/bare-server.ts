// What the gateway is measured by: a bare `ws` server that does the least that the same exchange can cost. As a program of its own, it
// prints its port.
//   on any message: parse it as JSON and by a small schema; `{"t":"command"}`: sign one and send it; `{"t":"receipt"}`: verify it.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CompactSign, compactVerify, importJWK, type JWK } from 'jose';
import { WebSocketServer } from 'ws';
import { z } from 'zod';
import { signingKeyFromSeed } from '../../protocol/keys.ts';
import { keysOf } from './machines.ts';

const frame = z.union([
  z.strictObject({ t: z.literal('heartbeat'), uptime_s: z.int() }),
  z.strictObject({ t: z.literal('command'), op: z.string().max(40) }),
  z.strictObject({ t: z.literal('receipt'), token: z.string().max(4_096) }),
]);

const { privateKey } = await signingKeyFromSeed(new Uint8Array(32).fill(7));
const peer = (await importJWK((await keysOf(0)).ek.jwk as JWK, 'Ed25519')) as CryptoKey;
const payload = new TextEncoder().encode(JSON.stringify({ v: 1, cn: 'x'.repeat(43), text: 'x'.repeat(300) }));

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false, maxPayload: 65_536 });
sockets.on('connection', (ws) => {
  ws.on('error', () => undefined);
  ws.on('message', async (data) => {
    const read = frame.parse(JSON.parse(String(data)));
    if (read.t === 'command') {
      const token = await new CompactSign(payload).setProtectedHeader({ alg: 'Ed25519' }).sign(privateKey);
      ws.send(JSON.stringify({ t: 'command', op: read.op, token }));
    }
    if (read.t === 'receipt') {
      await compactVerify(read.token, peer);
      ws.send('{"t":"ack"}');
    }
  });
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  console.log((server.address() as AddressInfo).port);
});
process.stdin.resume().on('end', () => process.exit());
