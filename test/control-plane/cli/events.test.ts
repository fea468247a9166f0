// Server-sent events out of chunks that are cut anywhere.

import { expect, test } from 'vitest';
import { readEvents, type ServerEvent } from '../../../control-plane/cli/client/events.ts';
import { expectRefused } from '../../protocol/refusal.ts';

async function* chunks(...texts: string[]): AsyncGenerator<string> {
  yield* texts;
}

async function eventsOf(...texts: string[]): Promise<ServerEvent[]> {
  return Array.fromAsync(readEvents(chunks(...texts)));
}

const TEXT = ': hello\r\n\r\nid: 7\r\nevent: a\r\ndata: {"x":\r\ndata: 1}\r\n\r\nid: 8\ndata:two\n\n';
const EVENTS = [
  { id: '7', type: 'a', data: '{"x":\n1}' },
  { id: '8', type: 'message', data: 'two' },
];

test('an event is the same wherever its text is cut', async () => {
  for (let cut = 0; cut <= TEXT.length; cut += 1) {
    expect(await eventsOf(TEXT.slice(0, cut), TEXT.slice(cut))).toEqual(EVENTS);
  }
  expect(await eventsOf(...TEXT)).toEqual(EVENTS);
});

test('an event that was not finished is no event', async () => {
  expect(await eventsOf('id: 9\ndata: torn')).toEqual([]);
});

test('a text without end is refused', async () => {
  await expectRefused('SERVER_UNREACHABLE', () => eventsOf(...Array.from({ length: 300 }, () => 'x'.repeat(1_000))));
});
