// What makes an agent the one of its machine: keys, identity, what it did and learned, and the means to get an identity. Finds
// and names it in an image; what an image is meant to hold (the trust file, agent.json, the program) is none of it.

import type { ImageFiles } from '../ports/image-files.ts';

/** Where an agent keeps it: `paths`. */
export type Places = Readonly<{ state: string; marker: string; joinToken: string; driveToken: string | null }>;

/** Names that a build may go by; they stay as they are. */
export type OwnWhat =
  | 'executor_key'
  | 'link_key'
  | 'join_token'
  | 'identity'
  | 'operation_journal'
  | 'learned_roots'
  | 'control_plane_session'
  | 'other_machine'
  | 'notes'
  | 'root_marker'
  | 'state';

export type OwnThing = Readonly<{ what: OwnWhat; path: string }>;

/**
 * By the path below the state folder; the first that fits. A file is first written beside its place, under a longer name: one
 * that was cut off there holds as much.
 */
const kinds: readonly (readonly [RegExp, OwnWhat])[] = [
  [/^(executor|executor\.other-machine)\/keys\.json/, 'executor_key'],
  [/^(link|link\.other-machine)\/key\.json/, 'link_key'],
  [/^(executor|link)\.other-machine\//, 'other_machine'],
  [/^(executor|link)\/identity\.json/, 'identity'],
  [/^executor\/(journal\.jsonl|writer\.|cancel)/, 'operation_journal'],
  [/^(executor|link)\/root\//, 'learned_roots'],
  [/^link\/progress\.json/, 'control_plane_session'],
  [/^(link\/status|enrolment)\.json/, 'notes'],
];

export function findOwnThings(files: ImageFiles, { state, marker, joinToken, driveToken }: Places): OwnThing[] {
  const kept = files
    .below(state)
    .filter(({ kind }) => kind !== 'folder')
    .map(({ path }) => ({ what: kindOf(path.slice(state.length + 1)), path }));
  const tokens = [joinToken, driveToken].flatMap((path) => (path === null ? [] : variantsOf(files, path)));
  return [
    ...kept,
    ...tokens.map((path) => ({ what: 'join_token', path }) as const),
    ...variantsOf(files, marker).map((path) => ({ what: 'root_marker', path }) as const),
  ];
}

function kindOf(name: string): OwnWhat {
  return kinds.find(([pattern]) => pattern.test(name))?.[1] ?? 'state';
}

/** The file, and what was cut off while it was written. */
function variantsOf(files: ImageFiles, path: string): string[] {
  const folder = path.slice(0, path.lastIndexOf('/'));
  return files
    .list(folder)
    .filter((found) => found.kind !== 'folder' && (found.path === path || found.path.startsWith(`${path}.`)))
    .map((found) => found.path);
}

/** The newest root that was learned since the image was made; 0 where none was. */
export function newestLearnedRoot(things: readonly OwnThing[]): number {
  const versions = things.map(({ path }) => Number(/\/root\/([1-9][0-9]{0,8})\.json$/.exec(path)?.[1] ?? 0));
  return Math.max(0, ...versions);
}
