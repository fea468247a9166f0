// The handshake against servers that say what a test tells them to.

import { createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { authenticateRfb } from '../../../agent/adapters/rfb.ts';
import { answerChallenge } from '../../../agent/adapters/vncauth.ts';
import { drawSecret } from '../contracts/contract.ts';

const challenge = Buffer.alloc(16, 0x5a);
const word = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
const words = (text: string): Buffer => Buffer.concat([word(text.length), Buffer.from(text)]);
const OK = word(0);
const FAILED = word(1);

type Turn = Readonly<{ say: Buffer; hear?: number; end?: boolean }>;

type Served = { port: number; heard: Buffer[]; connections: () => number; ended: Promise<void> };

/** Says each turn's bytes and then waits for that many; returns what it heard and how often it was connected to. */
async function serve(turns: readonly Turn[]): Promise<Served> {
  const heard: Buffer[] = [];
  let connections = 0;
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const server = createServer((socket: Socket) => {
    connections += 1;
    socket.on('error', () => {});
    socket.on('close', () => end());
    let [turn, waiting] = [0, Buffer.alloc(0)];
    const go = (): void => {
      for (; turn < turns.length; turn += 1) {
        const { say, hear = 0, end } = turns[turn] ?? { say: Buffer.alloc(0) };
        socket.write(say);
        if (end) socket.end();
        if (hear === 0) continue;
        expecting = hear;
        return;
      }
    };
    let expecting = 0;
    socket.on('data', (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk]);
      if (expecting === 0 || waiting.length < expecting) return;
      heard.push(waiting.subarray(0, expecting));
      waiting = waiting.subarray(expecting);
      expecting = 0;
      turn += 1;
      go();
    });
    go();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    heard,
    connections: () => connections,
    ended,
  };
}

const GREETING = { say: Buffer.from('RFB 003.008\n'), hear: 12 };
const TYPES = { say: Buffer.from([2, 16, 2]), hear: 1 };
const CHALLENGE = { say: challenge, hear: 16 };
const ask = (port: number, password = drawSecret().revealBytes(), localAddress = '127.88.0.1') =>
  authenticateRfb(
    { address: '127.0.0.1', port, localAddress, timeoutMs: 2_000, quietMs: 60, isServer: () => true },
    { user: undefined, password },
  );

describe('the handshake', () => {
  it('answers the challenge, sends nothing after the verdict, and connects once', async () => {
    const { port, heard, connections } = await serve([GREETING, TYPES, CHALLENGE, { say: OK, hear: 1 }]);
    const password = drawSecret().revealBytes();
    expect(await ask(port, password)).toEqual({ verdict: 'accepted', reason: 'accepted' });
    expect(heard.map(String).slice(0, 1)).toEqual(['RFB 003.008\n']);
    expect(heard[1]).toEqual(Buffer.from([2]));
    expect(heard[2]).toEqual(Buffer.from(answerChallenge(challenge, password)));
    expect([heard.length, connections()]).toEqual([3, 1]);
  });

  it.each<[string, Turn[], string]>([
    [
      'a refusal is a rejection',
      [{ say: Buffer.concat([FAILED, words('Authentication failed')]) }],
      'rejected rejected',
    ],
    ['a refusal that is cut off is still one', [{ say: FAILED, end: true }], 'rejected rejected'],
    [
      'no password set is a rejection',
      [{ say: Buffer.concat([FAILED, words('No password configured')]) }],
      'rejected no_password',
    ],
    [
      'too many tries are no verdict',
      [{ say: Buffer.concat([FAILED, words('Too many attempts')]) }],
      'unknown blocked',
    ],
    ['the result for too many tries is no verdict', [{ say: word(2) }], 'unknown blocked'],
    [
      'in use is said after a right password only',
      [{ say: Buffer.concat([FAILED, words('The server is already in use')]) }],
      'accepted busy',
    ],
    [
      'more bytes after an acceptance make it none',
      [{ say: Buffer.concat([OK, Buffer.alloc(29)]) }],
      'unknown not_silent',
    ],
    [
      'an acceptance that goes on and ends is a refusal of neatvnc',
      [{ say: Buffer.concat([OK, Buffer.alloc(29)]), end: true }],
      'rejected ends',
    ],
    ['an end after an acceptance makes it none', [{ say: OK, end: true }], 'unknown not_silent'],
    ['an end without a verdict is no verdict', [{ say: Buffer.alloc(0), end: true }], 'unknown closed'],
    ['silence is no verdict', [], 'unknown timeout'],
  ])('%s', async (_, end, told) => {
    const { port } = await serve([GREETING, TYPES, CHALLENGE, ...end]);
    const { verdict, reason } = (await ask(port)) as { verdict: string; reason: string };
    expect(`${verdict} ${reason}`).toBe(told);
  });

  it.each<[string, Turn[], string]>([
    [
      'a locked-out address is told in a 3.3 greeting',
      [{ say: Buffer.concat([Buffer.from('RFB 003.003\n'), word(0), words('Too many security failures')]), end: true }],
      'blocked',
    ],
    [
      'no types come with words',
      [GREETING, { say: Buffer.concat([Buffer.from([0]), words('Too many authentication failures')]) }],
      'blocked',
    ],
    ['a server that lets anyone in proves nothing', [GREETING, { say: Buffer.from([2, 1, 2]) }], 'open'],
    ['another type is not tried', [GREETING, { say: Buffer.from([1, 19]) }], 'types'],
    ['another protocol is not talked to', [{ say: Buffer.from('SSH-2.0-any\r\n') }], 'greeting'],
    ['an end before the types is no verdict', [{ ...GREETING, end: true }], 'closed'],
  ])('%s', async (_, turns, reason) => {
    expect(await ask((await serve(turns)).port)).toEqual({ verdict: 'unknown', reason });
  });

  it('a server that has locked this address out is told nothing', async () => {
    const say = Buffer.concat([Buffer.from('RFB 003.003\n'), word(0), words('Too many security failures')]);
    const { port, heard, ended } = await serve([{ say, hear: 1 }]);
    expect(await ask(port)).toEqual({ verdict: 'unknown', reason: 'blocked' });
    await ended;
    expect(heard).toEqual([]);
  });

  it('another process than the server that is meant is told nothing of the password', async () => {
    const { port, heard, ended } = await serve([GREETING, TYPES, CHALLENGE, { say: OK, hear: 1 }]);
    const asked: object[] = [];
    const isServer = (ports: object): boolean => {
      asked.push(ports);
      return false;
    };
    const options = { address: '127.0.0.1', port, localAddress: '127.88.0.1', timeoutMs: 2_000, quietMs: 60, isServer };
    const verdict = await authenticateRfb(options, { user: undefined, password: drawSecret().revealBytes() });
    expect(verdict).toEqual({ verdict: 'unknown', reason: 'other_process' });
    await ended;
    expect(heard.map(({ length }) => length)).toEqual([12, 1]);
    expect(asked).toEqual([{ port, peerPort: expect.any(Number) }]);
  });

  it.each(['003', '007'])('version 3.%s is spoken, too', async (minor) => {
    const types = minor === '003' ? { say: word(2) } : TYPES;
    const { port, heard } = await serve([
      { say: Buffer.from(`RFB 003.${minor}\n`), hear: 12 },
      types,
      CHALLENGE,
      { say: OK, hear: 1 },
    ]);
    expect(await ask(port)).toEqual({ verdict: 'accepted', reason: 'accepted' });
    expect(String(heard[0])).toBe(`RFB 003.${minor}\n`);
  });

  it('where nobody listens there is no verdict', async () => {
    expect(await ask(1)).toEqual({ verdict: 'unknown', reason: 'not_listening' });
  });
  it('an address that is not there is told before any connection', async () => {
    const { port, connections } = await serve([GREETING]);
    expect(await ask(port, undefined, '192.0.2.1')).toBe('bind');
    expect(connections()).toBe(0);
  });
});
