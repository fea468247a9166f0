// What `latchkey-agent seal` says: to people one line a file and how to be rid of it, to programs one JSON object.

import type { Remnant } from './remnants.ts';

/** `removed` is `null` where nothing was to be removed, but looked for. */
export type SealReport = Readonly<{ removed: readonly Remnant[] | null; left: readonly Remnant[] }>;

/** A log folder has hundreds; all of them are in the JSON. */
const PATHS_SHOWN_MAX = 5;

const UNLINKED =
  'Removed means unlinked: what the files held is on the disk until it is overwritten. Before the image is handed on, zero its free ' +
  'space (virt-sparsify, zerofree; fstrim where the disk drops what is trimmed) or copy it file by file.';

export function reportJson({ removed, left }: SealReport): object {
  return removed === null ? { left } : { removed: removed.map(({ what, paths }) => ({ what, paths })), left };
}

export function reportLines({ removed, left }: SealReport): string[] {
  const rest = left.flatMap((remnant) => [...namedLines('left', remnant), `           ${remnant.how}`]);
  if (removed === null) {
    return left.length === 0
      ? ['Nothing of one machine is left.']
      : ['This is left of one machine, and would be in every copy:', ...rest];
  }
  const gone = removed.flatMap((remnant) => namedLines('removed', remnant));
  const headline = removed.length === 0 ? 'Sealed: there was nothing of the agent’s to remove.' : 'Sealed.';
  const ours = removed.length === 0 ? [] : [UNLINKED];
  return [
    headline,
    ...gone,
    ...ours,
    ...(rest.length > 0 ? ['The system’s own, which seal leaves to you:', ...rest] : []),
  ];
}

function namedLines(verb: string, { what, paths }: Remnant): string[] {
  const more = paths.length - PATHS_SHOWN_MAX;
  const shown = paths.slice(0, PATHS_SHOWN_MAX).map((path) => `  ${verb.padEnd(7)}  ${what}  ${path}`);
  return more > 0 ? [...shown, `  ${verb.padEnd(7)}  ${what}  and ${more} more`] : shown;
}
