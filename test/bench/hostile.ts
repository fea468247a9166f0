// Agents that behave badly, each as badly as it can, until their process is ended.

import { connect } from 'node:net';
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { encodeFrame } from '../../protocol/session.ts';
import type { BadWay, Figures } from './fleet.ts';
import type { Member } from './member.ts';

const UNSENT_BYTES = 1_000_000;

/** Goes on behind the answer. */
export async function behaveBadly(how: BadWay, members: readonly Member[], url: string): Promise<Figures> {
  for (const member of members) void ways[how](member, url).catch(() => undefined);
  return {};
}

const ways: Readonly<Record<BadWay, (member: Member, url: string) => Promise<void>>> = {
  'says more than it may': async (member) => {
    const text = encodeFrame({ t: 'heartbeat', uptime_s: 1 });
    await untilClosed(member, () => member.send(text));
  },
  'pings and never reads': async (member) => {
    member.ws?.pause();
    const payload = Buffer.alloc(125, 'x');
    await untilClosed(member, () => member.ws?.ping(payload));
  },
  'lies about who it is': async (_, url) => {
    for (;;) {
      const ws = new WebSocket(url, { perMessageDeflate: false });
      ws.on('message', () => ws.send(encodeFrame({ t: 'hello', token: 'eyJ4IjoxfQ.e30.AAAA' })));
      await new Promise((resolve) => ws.on('close', resolve).on('error', resolve));
      await breathe();
    }
  },
  'never answers': async (_, url) => {
    const { host, hostname, port, pathname } = new URL(url);
    const key = Buffer.alloc(16, 7).toString('base64');
    const head = `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`;
    for (;;) {
      const socket = connect(Number(port), hostname).on('error', () => undefined);
      socket.write(head);
      await new Promise((resolve) => socket.once('close', resolve).resume());
      await sleep(50);
    }
  },
};

async function untilClosed({ ws }: Member, act: () => void): Promise<void> {
  while (ws?.readyState === WebSocket.OPEN) {
    for (let times = 0; times < 200 && ws.bufferedAmount < UNSENT_BYTES; times += 1) act();
    await breathe();
  }
}
