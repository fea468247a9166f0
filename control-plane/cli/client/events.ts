// Server-sent events (html.spec.whatwg.org, section 9.2) out of a stream of text: ids, types and data, and nothing about
// what they mean.

import { Failure } from '../../../protocol/failure.ts';

export type ServerEvent = Readonly<{ id: string | null; type: string; data: string }>;

/** An event's text that grows beyond this is no event of ours. */
const EVENT_CHARACTERS_MAX = 262_144;

/** Splits chunks, cut anywhere, into events. Comments (heartbeats) are dropped; a torn last event is, too. */
export async function* readEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = '';
  for await (const chunk of chunks) {
    rest += chunk;
    const blocks = rest.split(/\r\n\r\n|\n\n/);
    rest = blocks.pop() ?? '';
    if (rest.length > EVENT_CHARACTERS_MAX) throw new Failure('SERVER_UNREACHABLE', { reason: 'event too long' });
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

function parseEvent(block: string): ServerEvent | undefined {
  let id: string | null = null;
  let type = 'message';
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') id = value;
    else if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
  }
  return data.length > 0 ? { id, type, data: data.join('\n') } : undefined;
}
