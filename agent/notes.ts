// Small notes that the agent's processes leave for whoever asks on the machine how it is: how the link is connected, and
// what went wrong in enrolment. No secret is in them, and nothing decides by them.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import * as z from 'zod/mini';
import { codeName, counter, parseSchema, seconds, text } from '../protocol/schema.ts';
import { replaceFile } from './durable-file.ts';

/** A note is a few lines; what is longer is none of ours. */
const BYTES_MAX = 4_096;
/** Root and the owner may read it; the folder decides who gets that far. */
const MODE = 0o640;

const word = text(/^[A-Za-z0-9_.:/[\]-]{1,120}$/);

export const linkNote = z.strictObject({
  v: z.literal(1),
  state: z.enum(['connected', 'disconnected', 'stopped']),
  /** When it came into that state, by the guest's clock. */
  since: seconds,
  host: z.nullable(word),
  /** What ended the last connection, or the last try for one. */
  code: z.nullable(codeName),
  reason: z.nullable(word),
  /** Server time as the last welcome said it, and where the monotonic clock of that boot stood then. */
  server: z.nullable(z.strictObject({ now: seconds, mono_ms: counter, boot: word })),
  /** The process, and when it started in ticks of its boot: so a note that outlived its writer is known. */
  pid: counter,
  started: z.nullable(word),
});
export type LinkNote = z.infer<typeof linkNote>;

export const enrolmentNote = z.strictObject({
  v: z.literal(1),
  at: seconds,
  code: codeName,
  host: z.nullable(word),
  reason: z.nullable(word),
  /** Whether it is still being tried. */
  retrying: z.boolean(),
});
export type EnrolmentNote = z.infer<typeof enrolmentNote>;

export function writeNote(path: string, note: LinkNote | EnrolmentNote): Promise<void> {
  return replaceFile(path, `${JSON.stringify(note)}\n`, { mode: MODE });
}

/**
 * `null` where there is none, or none that can be read. It may lie in a folder of the link's user, who could put anything
 * there: what is opened is a small file of its own and no link, and nothing of another form gets out of here.
 */
export async function readNote<S extends typeof linkNote | typeof enrolmentNote>(
  path: string,
  schema: S,
): Promise<z.infer<S> | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile() || facts.size > BYTES_MAX) return null;
      return parseSchema(schema, JSON.parse(await file.readFile('utf8'))) as z.infer<S>;
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
}

/** A detail of a failure, where a note may carry it. */
export function wordOf(value: unknown): string | null {
  return typeof value === 'string' && word.safeParse(value).success ? value : null;
}
