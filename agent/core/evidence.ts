// Comparing what was found with what was there before: the only ground on which a change is called done or not done.

import type { FileEvidence } from './ledger.ts';

/** Names of the entries that differ between two fingerprints, added and removed ones included, sorted. */
export function changedEntries(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => before[name] !== after[name]).sort();
}

/** Whether any credential file has another content than before, is gone, or is new. */
export function filesChanged(before: readonly FileEvidence[], after: readonly FileEvidence[]): boolean {
  const hashes = (files: readonly FileEvidence[]) => Object.fromEntries(files.map(({ path, hash }) => [path, hash]));
  return changedEntries(hashes(before), hashes(after)).length > 0;
}

/** Whether every source file still has the content that was journaled. Live copies do not outlive a reboot. */
export function sourcesUnchanged(journaled: readonly FileEvidence[], now: readonly FileEvidence[]): boolean {
  const sources = journaled.filter(({ role }) => role === 'source');
  const found = new Map(now.map(({ path, hash }) => [path, hash]));
  return sources.length > 0 && sources.every(({ path, hash }) => found.get(path) === hash);
}
