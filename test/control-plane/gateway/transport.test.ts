// What a peer may do wrong below the protocol, byte by byte on a socket of its own: broken frames, endless messages, silence. Each
// ends that one connection, and machines that are connected stay so.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FRAME_BYTES_MAX } from '../../../protocol/limits.ts';
import { liveBytes } from '../../fuzz/fuzz.ts';
import { ScriptedAgent, Wire } from '../scripted-agent.ts';
import { World } from '../world.ts';

/** RFC 6455, section 7.4.1. */
const [PROTOCOL_ERROR, INVALID_DATA, POLICY] = [1002, 1007, 1008];
/** A third of what keeping each piece would come to; that of a closed connection is let go within half a minute. */
const GROWTH_BYTES_MAX = 12_000_000;
const TEXT = 0x1;
const FINAL = 0x80;
const MASKED = 0x80;
const UPGRADE =
  'GET /agent/v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

let world: World;
let agent: ScriptedAgent;
beforeAll(async () => {
  world = await World.start();
  agent = await world.machine();
});
afterAll(() => world.stop());

/** A socket that has been upgraded, and what the gateway sends on it. */
async function upgraded(): Promise<{ socket: Socket; closeCode: () => Promise<number> }> {
  const socket = connect(Number(new URL(world.origin).port), '127.0.0.1');
  socket.on('error', () => undefined);
  let received = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data]);
  });
  const ended = once(socket, 'close');
  socket.write(UPGRADE);
  while (!received.includes('\r\n\r\n')) await once(socket, 'data');
  return {
    socket,
    closeCode: async () => {
      await ended;
      return closeCodeIn(received.subarray(received.indexOf('\r\n\r\n') + 4));
    },
  };
}

/** The code of the close frame among a server's frames; 1006 where there is none. */
function closeCodeIn(frames: Buffer): number {
  for (let at = 0; at + 2 <= frames.length; ) {
    const short = (frames[at + 1] ?? 0) & 0x7f;
    const [length, from] = short === 126 ? [frames.readUInt16BE(at + 2), at + 4] : [short, at + 2];
    if (((frames[at] ?? 0) & 0x0f) === 0x8) return frames.readUInt16BE(from);
    at = from + length;
  }
  return 1006;
}

/** A client's frame, masked with zeros, which leave the payload as it is. */
function frame(first: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const size = length < 126 ? [MASKED | length] : [MASKED | 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([first, ...size, 0, 0, 0, 0]), payload]);
}

async function stillConnected(): Promise<void> {
  expect((await world.vmOf(agent)).online).toBe(true);
  expect(agent.wire.ws.readyState).toBe(agent.wire.ws.OPEN);
}

describe('a frame', () => {
  test.each<[string, number, Buffer]>([
    ['57 of text that is no UTF-8', INVALID_DATA, frame(FINAL | TEXT, Buffer.from([0x22, 0xc0, 0xaf, 0x22]))],
    ['of text that ends within a character', INVALID_DATA, frame(FINAL | TEXT, Buffer.from([0x22, 0xe2, 0x82]))],
    ['58 without a mask', PROTOCOL_ERROR, Buffer.from([FINAL | TEXT, 2, 0x7b, 0x7d])],
    ['of a kind that there is not', PROTOCOL_ERROR, frame(FINAL | 0x3, Buffer.from('{}'))],
    ['with a bit that means compression', PROTOCOL_ERROR, frame(FINAL | 0x40 | TEXT, Buffer.from('{}'))],
    ['that goes on with no message', PROTOCOL_ERROR, frame(FINAL, Buffer.from('{}'))],
    ['that controls, in pieces', PROTOCOL_ERROR, frame(0x9, Buffer.from('{}'))],
    ['59 of bytes and not of text', POLICY, frame(FINAL | 0x2, Buffer.from('{}'))],
  ])('%s closes the connection with %i', async (_, code, bytes) => {
    const { socket, closeCode } = await upgraded();
    socket.write(bytes);
    expect(await closeCode()).toBe(code);
    await stillConnected();
  });
});

describe('a message', () => {
  test('56 in pieces that come to more than a frame may hold is closed with 1009', async () => {
    const { socket, closeCode } = await upgraded();
    const piece = Buffer.alloc(FRAME_BYTES_MAX / 4, 'x');
    socket.write(frame(TEXT, piece));
    for (let times = 0; times < 4; times += 1) socket.write(frame(0, piece));
    expect(await closeCode()).toBe(1009);
  });

  test('61 in ever smaller pieces is closed, and costs no memory that stays', async () => {
    const pieces = Buffer.concat(Array.from({ length: 20_000 }, () => frame(0, Buffer.alloc(0))));
    const flood = async () => {
      const { socket, closeCode } = await upgraded();
      socket.write(Buffer.concat([frame(TEXT, Buffer.from('x')), pieces]));
      expect(await closeCode()).toBe(POLICY);
    };
    await flood();
    const before = liveBytes();
    for (let times = 0; times < 30; times += 1) await flood();
    expect(liveBytes() - before).toBeLessThan(GROWTH_BYTES_MAX);
    await stillConnected();
  });
});

test('whoever pings and does not read what comes back is cut off', async () => {
  const { socket, closeCode } = await upgraded();
  closeCode().catch(() => undefined);
  socket.removeAllListeners('data').pause();
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame(FINAL | 0x9, Buffer.alloc(125, 'x'))));
  let sent = 0;
  // Far more than the kernel keeps for both ends.
  for (let open = true; open && sent < 100_000_000; sent += pings.length) {
    open = await new Promise((resolve) => {
      socket.once('close', () => resolve(false));
      socket.write(pings, (error) => resolve(!error));
    });
  }
  expect(sent).toBeLessThan(100_000_000);
  await stillConnected();
});

test('nobody alone keeps the others out: of one client there are fewer strangers at a time than of all', async () => {
  const place = await World.start({ handshakesPerClientMax: 1 });
  const port = Number(new URL(place.origin).port);
  const first = await new Wire(place.agentUrl).opened();
  await first.next('challenge');
  await expect(new Wire(place.agentUrl).opened()).rejects.toThrow('503');
  const elsewhere = await new Wire(`ws://127.0.0.1:${port}/agent/v1`, {}, '127.0.0.2').opened();
  await elsewhere.next('challenge');
  await first.end();
  await new Wire(place.agentUrl).opened();
  await place.stop();
});

test('a refusal does not come sooner for what is quickly looked up: no clock tells what there is', async () => {
  // An order and no duration: the wait begins before the refusal does, is the shorter one, and so ends first on any machine.
  const firstOf = (act: () => Promise<unknown>) =>
    Promise.race([sleep(40).then(() => 'the wait'), act().then(() => 'the refusal')]);
  const stranger = await ScriptedAgent.make(world.agentUrl);
  stranger.agent = agent.agent;
  // Its own key, which nobody knows; a known machine's name for it; a token that never was.
  for (const act of [
    () => stranger.connect(),
    () => stranger.connect({ helloKey: { ...stranger.ik, kid: agent.ik.kid } }),
    () => stranger.enrol('lkj_never'),
  ]) {
    expect(await firstOf(act)).toBe('the wait');
  }
});

test('61, 62 half a request, silence, and a message without an end are all waited for in vain only so long', async () => {
  const half = connect(Number(new URL(world.origin).port), '127.0.0.1');
  half.on('error', () => undefined).resume();
  half.write(UPGRADE.slice(0, -2));
  const [silent, endless] = await Promise.all([upgraded(), upgraded()]);
  endless.socket.write(frame(TEXT, Buffer.from('{"t":"hello",')));
  const [, ...codes] = await Promise.all([once(half, 'close'), silent.closeCode(), endless.closeCode()]);
  expect(codes).toEqual([POLICY, POLICY]);
  await stillConnected();
});
