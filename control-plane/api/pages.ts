// Pages of lists: where the next one begins is a text that means nothing to a client, and that another list refuses.

import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, toBase64url } from '../../protocol/keys.ts';
import { base64urlText } from '../../protocol/schema.ts';

const PAGE = 100;
const PAGE_MAX = 500;

/** What every list understands. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).optional(),
  /** `next` of the page before. */
  cursor: z.optional(base64urlText(200)),
};
/** Where the next page begins; `null` where there is none. */
export const next = z.string().nullable();

type List = 'vms' | 'operations' | 'join_tokens' | 'bulk' | 'deliveries';
type Asked = Readonly<{ limit?: number | undefined; cursor?: string | undefined }>;
export type Page<T> = Readonly<{ items: T[]; next: string | null }>;

/** A page of a list; `read` gives what follows a place, `placeOf` says where an item stands. */
export async function pageOf<T, P>(
  list: List,
  { limit = PAGE, cursor }: Asked,
  { place, read, placeOf }: PageSource<T, P>,
): Promise<Page<T>> {
  const found = await read(cursor === undefined ? undefined : readCursor(list, cursor, place), limit + 1);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const more = found.length > limit && last !== undefined;
  return { items, next: more ? writeCursor(list, placeOf(last)) : null };
}

type PageSource<T, P> = Readonly<{
  place: z.ZodType<P>;
  read: (after: P | undefined, count: number) => Promise<readonly T[]>;
  placeOf: (item: T) => P;
}>;

function writeCursor(list: List, place: unknown): string {
  return toBase64url(new TextEncoder().encode(JSON.stringify([list, place])));
}

/** Throws `REQUEST_INVALID` for what is no place in this list. */
function readCursor<P>(list: List, cursor: string, place: z.ZodType<P>): P {
  const schema = z.tuple([z.literal(list), place]);
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(fromBase64url(cursor))))[1];
  } catch {
    throw new Failure('REQUEST_INVALID', { field: 'cursor' });
  }
}
