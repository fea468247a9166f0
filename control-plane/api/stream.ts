// Server-sent events: the events table read forward from where the client stopped. Nothing is lost or said twice, because
// the place is the event's id and the wake-up carries nothing.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { type EventScope, eventsAfter, lastEventId } from '../store/events.ts';
import type { ApiParts } from './parts.ts';
import { viewEvent } from './views.ts';

const HEARTBEAT_MS = 15_000;
/** A stream on which nothing happens ends so long after its key did, at the latest. */
const LOOK_MS = 5_000;
/** Streams that may be open at a time. */
export const STREAMS_MAX = 1_000;

export type StreamStart = Readonly<{ lastEventId: number | null; fromFirst: boolean }>;

/** Where to begin: the header is what browsers send when they reconnect, so it wins over the address. */
export function streamStart(request: FastifyRequest, asked: number | undefined, fromFirst: boolean): StreamStart {
  const header = request.headers['last-event-id'];
  const fromHeader = typeof header === 'string' && /^[0-9]{1,15}$/.test(header) ? Number(header) : null;
  return { lastEventId: fromHeader ?? asked ?? null, fromFirst };
}

/** When a stream ends that its client does not end: with the server, or once the client may not read it any more. */
export type Ends = Readonly<{ stop: AbortSignal; still(): Promise<boolean> }>;

/** Streams until the client goes or one of these says so. */
export async function streamEvents(
  { store }: ApiParts,
  reply: FastifyReply,
  scope: EventScope,
  { lastEventId: given, fromFirst }: StreamStart,
  { stop, still }: Ends,
): Promise<void> {
  // Read before the head is sent: what happens after a client sees the stream open is in the stream.
  let id = given ?? (fromFirst ? 0 : await lastEventId(store.db));
  const { raw } = reply;
  const gone = new AbortController();
  raw.on('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stop]);
  const look = () =>
    still().then(
      (may) => may || gone.abort(),
      () => gone.abort(),
    );
  reply.hijack();
  // A connection is not used again after a stream: at its end it would stay open, and hold up the end of the server.
  raw.writeHead(200, { ...plainHeaders(reply), 'content-type': 'text/event-stream', connection: 'close' });
  raw.write(': latchkey\n\n');
  // One timer for the whole stream: other machines' events wake this one, too, and must not put its heartbeat off. A
  // client that does not read gets none.
  const heart = setInterval(() => raw.writableNeedDrain || raw.write(': heartbeat\n\n'), HEARTBEAT_MS);
  const watch = setInterval(() => void look(), LOOK_MS);
  try {
    while (!signal.aborted) {
      const rings = store.bell.rings;
      const events = await eventsAfter(store.db, scope, id);
      if (events.length > 0) await look();
      if (signal.aborted) break;
      for (const event of events) {
        const text = `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(viewEvent(event))}\n\n`;
        if (!raw.write(text)) await drained(raw, signal);
        id = event.id;
      }
      if (events.length === 0) await store.bell.next(rings, signal);
    }
  } finally {
    clearInterval(heart);
    clearInterval(watch);
    raw.end();
  }
}

function drained(raw: FastifyReply['raw'], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      raw.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    raw.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** What hooks have said by now, for an answer that Fastify does not send. */
export function plainHeaders(reply: FastifyReply): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value : String(value)]],
    ),
  );
}
