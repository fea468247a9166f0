// The executor's memory: one append-only, hash-chained file for all operations, private to root. A line is durable before
// the effect that it announces.

/** What a record says is the core's matter (`core/events.ts`); the journal sees JSON. */
export type JournalRecord = Readonly<Record<string, unknown>>;

/**
 * The contract:
 * - `open` makes no folder: installation does. It reads and checks everything: owner and mode of file and folder, and the chain. Damage in the middle, a foreign
 *   owner or a group- or world-writable path is `JOURNAL_UNSAFE`. A torn last line is dropped and `torn` says so.
 * - `append` returns when the line and the folder's entry are on the disk; `DISK_FULL` or `FS_READONLY` mean that nothing
 *   was added.
 * - One process writes at a time: `open` for writing while another writer lives is `BUSY`.
 * - `records` are what the disk holds, whatever becomes of the objects that were appended. A journal opened for reading,
 *   or closed, refuses `append` with `JOURNAL_UNSAFE`; a writer that cannot take a failed line back refuses every further
 *   one. Whoever opens for writing closes.
 * - `head` is the hash of the last line, in base64url; the empty journal's is the hash of nothing.
 */
export type Journal = {
  readonly torn: boolean;
  head(): string;
  records(): readonly JournalRecord[];
  append(record: JournalRecord): Promise<void>;
  close(): Promise<void>;
};
