// `latchkey-agent seal`: takes out of an image what makes an agent the one of its machine, so that each copy becomes a machine
// of its own. Removes what `own-things` finds and nothing else; of the system's things it only tells.
//
// The order is what makes an interrupted seal harmless. The keys go first, and for good, so that nothing can speak for the
// old machine any more. The executor's identity goes last: while it is there without its key, enrolment refuses, so that
// what is half sealed becomes no machine, and to seal it again finishes.

import { dirname } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { ImageFiles } from '../ports/image-files.ts';
import { findOwnThings, type OwnThing, type OwnWhat, type Places } from './own-things.ts';
import type { Remnant } from './remnants.ts';

const JOURNAL = 'executor/journal.jsonl';
const LAST = 'executor/identity.json';
/** As the journal itself has it. */
const JOURNAL_BYTES_MAX = 67_108_864;
const KEYS: readonly OwnWhat[] = ['executor_key', 'link_key'];

export type OpenOperation = Readonly<{ op: string; state: string }>;

export type SealOptions = Readonly<{
  files: ImageFiles;
  places: Places;
  /** The operation that a journal has no end of. */
  openOperationIn(journal: Buffer): OpenOperation | null;
}>;

/** Returns what was removed; nothing, where nothing was left. Throws `BUSY` before anything is changed, and `SEAL_INCOMPLETE`. */
export function seal({ files, places, openOperationIn }: SealOptions): readonly OwnThing[] {
  const journal = files.read(`${places.state}/${JOURNAL}`, JOURNAL_BYTES_MAX);
  const open = journal && openOperationIn(journal);
  if (open) throw new Failure('BUSY', { op: open.op, state: open.state });

  const things = findOwnThings(files, places);
  const link = things.find(({ path }) => files.look(path)?.kind === 'link');
  // What it leads to would stay.
  if (link) throw new Failure('SEAL_INCOMPLETE', { path: link.path, reason: 'link' });
  const isLast = ({ path }: OwnThing) => path === `${places.state}/${LAST}`;
  const isKey = ({ what }: OwnThing) => KEYS.includes(what);
  removeAll(files, things.filter(isKey));
  removeAll(
    files,
    things.filter((thing) => !isKey(thing) && !isLast(thing)),
  );
  removeAll(files, things.filter(isLast));
  removeFolders(files, places.state);

  const [again] = findOwnThings(files, places);
  if (again) throw new Failure('SEAL_INCOMPLETE', { path: again.path, reason: 'there_again' });
  return things;
}

/** Durable when this returns. */
function removeAll(files: ImageFiles, things: readonly OwnThing[]): void {
  for (const { path } of things) files.remove(path);
  for (const folder of new Set(things.map(({ path }) => dirname(path)))) files.sync(folder);
}

/** The state folder itself stays: a package may have brought it. */
function removeFolders(files: ImageFiles, state: string): void {
  const folders = files.below(state).filter(({ kind }) => kind === 'folder');
  // What lies deeper has the longer path.
  for (const { path } of folders.toSorted((a, b) => b.path.length - a.path.length)) files.remove(path);
  files.sync(state);
}

/** Things of ours by their names, as they are reported. */
export function groupOwn(things: readonly OwnThing[]): Remnant[] {
  const byName = Map.groupBy(things, ({ what }) => what);
  return [...byName].map(([what, found]) => ({
    what,
    paths: found.map(({ path }) => path),
    how: 'latchkey-agent seal',
  }));
}
