// Whether a Windows machine is the normally booted one: not one of its ways to run beside itself, from which its accounts
// can be changed without anybody signing in, and not on its way into one.

/** The facts that are judged. `null`: it could not be read. */
export type WindowsBootFacts = Readonly<{
  system: 'windows';
  /** Safe mode, with or without network, or the directory services' restore mode. */
  safeMode: boolean | null;
  /** Windows PE: the recovery environment, or an installation medium. */
  preinstallation: boolean | null;
  /** What setup says of the image: `IMAGE_STATE_COMPLETE`, once it is over and no audit mode. */
  imageState: string | null;
  setupInProgress: boolean | null;
  /** The boot manager has an entry that it will obey once, or the next start is one into safe mode. */
  bootOverride: boolean | null;
  marker: 'same' | 'other' | 'missing';
}>;

/** The first reason for which this environment is refused, or `undefined` where it is a normal one. */
export function windowsFault(facts: WindowsBootFacts): string | undefined {
  const ways = [
    ['windows_pe', facts.preinstallation],
    ['safe_mode', facts.safeMode],
    ['setup', facts.setupInProgress],
  ] as const;
  for (const [reason, found] of ways) {
    if (found === null) return `${reason}_unknown`;
    if (found) return reason;
  }
  if (facts.imageState !== 'IMAGE_STATE_COMPLETE') return facts.imageState === null ? 'setup_unknown' : 'setup';
  if (facts.marker !== 'same') return `marker_${facts.marker}`;
  if (facts.bootOverride === null) return 'boot_override_unknown';
  return facts.bootOverride ? 'boot_override' : undefined;
}
