// A client's words for which machines, as the store takes them.

import type { z } from 'zod';
import type { Label, VmFilter } from '../store/selection.ts';
import type { vmQuery } from './schemas-lists.ts';

type Filters = Omit<z.infer<typeof vmQuery>, 'limit' | 'cursor'>;

/** A selection as the store takes it. */
export function filterOf(projects: readonly string[], { label, seen_before, seen_after, ...rest }: Filters): VmFilter {
  return {
    name: rest.name,
    projects,
    state: rest.state,
    version: rest.version,
    text: rest.text,
    labels: labelsOf(label),
    seenBefore: msOf(seen_before),
    seenAfter: msOf(seen_after),
  };
}

export function labelsOf(selector: string | undefined): Label[] {
  return (selector?.split(',') ?? []).map((part): Label => {
    const [name = '', value = null] = part.split('=');
    return [name, value];
  });
}

export const msOf = (time: string | undefined): number | undefined =>
  time === undefined ? undefined : Date.parse(time);
