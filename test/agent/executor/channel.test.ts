// The executor's end of the connection: a little language, limits, and an end that is not mistaken for anything else.

import { duplexPair } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Channel } from '../../../agent/executor/channel.ts';
import { FRAME_BYTES_MAX } from '../../../protocol/limits.ts';
import { OP } from '../../protocol/samples.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const prepare = { t: 'prepare', op: OP, account: null };
const line = (value: unknown) => `${JSON.stringify(value)}\n`;

function open() {
  const [near, far] = duplexPair();
  near.on('error', () => {});
  let heard = '';
  near.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  return { near, far, channel: new Channel(far), heard: () => heard };
}

describe('requests', () => {
  test('arrive in order, however the bytes are cut', async () => {
    const { near, channel } = open();
    const bytes = Buffer.from(line(prepare) + line({ t: 'resume' }) + line({ t: 'receipts' }));
    for (const byte of bytes) near.write(Buffer.of(byte));
    expect(await channel.next()).toEqual(prepare);
    expect(await channel.next()).toEqual({ t: 'resume' });
    expect(await channel.next()).toEqual({ t: 'receipts' });
  });

  test('that were sent before the link ended its side are still heard, and then there are none', async () => {
    const { near, channel } = open();
    near.end(line({ t: 'resume' }));
    await turn();
    expect(await channel.next()).toEqual({ t: 'resume' });
    expect(await channel.next()).toBeNull();
    expect(await channel.next()).toBeNull();
  });

  test('are no longer waited for once the signal has ended', async () => {
    const { channel } = open();
    const until = new AbortController();
    const waiting = channel.next(until.signal);
    until.abort();
    expect(await waiting).toBeNull();
  });

  test.each<[string, string | Uint8Array]>([
    ['no JSON', 'hello\n'],
    ['an empty line', '\n'],
    ['an unknown request', line({ t: 'shell' })],
    ['an unknown member', line({ ...prepare, root: '/mnt' })],
    ['an array', line([prepare])],
    ['a value that is not canonical', `${JSON.stringify(prepare).replace(':', ': ')}\n`],
    ['an account name with a path', line({ ...prepare, account: '../x' })],
    ['an operation id with a path', line({ ...prepare, op: '../../x' })],
    ['invalid UTF-8', Uint8Array.of(0x22, 0xff, 0x22, 0x0a)],
    ['a nesting of 30 000', `${'['.repeat(30_000)}\n`],
    ['a line without an end', 'x'.repeat(FRAME_BYTES_MAX + 1)],
    ['a line that is too long', `${'x'.repeat(FRAME_BYTES_MAX + 1)}\n`],
  ])('%s ends the connection', async (_, bytes) => {
    const { near, far, channel } = open();
    near.write(bytes);
    expect(await channel.next()).toBeNull();
    expect(far.destroyed).toBe(true);
  });

  test('behind one that is wrong are not heard', async () => {
    const { near, channel } = open();
    near.write(`nonsense\n${line(prepare)}`);
    expect(await channel.next()).toBeNull();
    expect(await channel.next()).toBeNull();
  });

  test('in a flood end the connection instead of filling the memory', async () => {
    const { near, far } = open();
    near.write(line({ t: 'resume' }).repeat(1_000));
    await turn();
    expect(far.destroyed).toBe(true);
  });

  test('are kept while nobody reads, up to the limit', async () => {
    const { near, channel } = open();
    near.write(line({ t: 'resume' }).repeat(64));
    await turn();
    for (let i = 0; i < 64; i += 1) expect(await channel.next()).toEqual({ t: 'resume' });
  });
});

describe('answers', () => {
  test('are lines, and `end` is the last one', async () => {
    const { channel, heard } = open();
    channel.send({ t: 'refused', op: null, code: 'BUSY' });
    await channel.end();
    await turn();
    expect(heard()).toBe(line({ t: 'refused', op: null, code: 'BUSY' }) + line({ t: 'end' }));
  });

  test('to a link that is gone are dropped without harm', async () => {
    const { far, channel } = open();
    far.destroy();
    await turn();
    channel.send({ t: 'end' });
    await channel.end();
    expect(await channel.next()).toBeNull();
  });

  test('to a link that goes away in the same moment are dropped, and the end is not waited for', async () => {
    const { near, far, channel } = open();
    near.destroy();
    far.destroy();
    channel.send({ t: 'refused', op: null, code: 'BUSY' });
    await channel.end();
    expect(far.destroyed).toBe(true);
  });

  test('to a link that failed are dropped without harm', async () => {
    const { far, channel } = open();
    far.destroy(new Error('reset'));
    await turn();
    channel.send({ t: 'end' });
    await channel.end();
  });
});
