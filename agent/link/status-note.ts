// Keeps the note of how the link is connected: written when that changes, never for each try, and never a reason for the
// link to fail.

import type { Logger } from 'pino';
import type { Details } from '../../protocol/failure.ts';
import { type LinkNote, wordOf, writeNote } from '../notes.ts';

export type LinkEvent = Readonly<{
  state: LinkNote['state'];
  host: string | null;
  trouble?: Readonly<{ code: string; details: Details }>;
  /** Server time at this moment. */
  serverNow?: number;
}>;

export type NoteOptions = Readonly<{
  path: string;
  boot: string;
  pid: number;
  started: string | null;
  log: Logger;
}>;

export class StatusNote {
  readonly #options: NoteOptions;
  #last: LinkNote | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: NoteOptions) {
    this.#options = options;
  }

  /** Returns when the note is written, or could not be. */
  tell(event: LinkEvent): Promise<void> {
    const { path, log } = this.#options;
    const last = this.#last;
    const note = this.#noteOf(event, last);
    if (last && last.state === note.state && last.code === note.code && last.host === note.host) return this.#writing;
    this.#last = note;
    this.#writing = this.#writing
      .then(() => writeNote(path, note))
      .catch((error: unknown) => {
        log.warn({ err: error }, 'the status could not be noted');
        // What is not on the disk is written at the next change, whatever that is.
        this.#last = undefined;
      });
    return this.#writing;
  }

  #noteOf({ state, host, trouble, serverNow }: LinkEvent, last: LinkNote | undefined): LinkNote {
    const { boot, pid, started } = this.#options;
    const server =
      serverNow === undefined
        ? (last?.server ?? null)
        : { now: serverNow, mono_ms: Number(process.hrtime.bigint() / 1_000_000n), boot };
    return {
      v: 1,
      state,
      since: last?.state === state ? last.since : Math.floor(Date.now() / 1000),
      host,
      code: trouble?.code ?? (state === 'connected' ? null : (last?.code ?? null)),
      reason: wordOf(trouble?.details['reason']),
      server,
      pid,
      started,
    };
  }
}
