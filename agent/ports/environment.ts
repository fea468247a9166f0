// Where the agent finds itself: the facts by which a machine that was "rerooted" is told from one that booted normally.

/** Facts only; `core/environment.ts` judges them. `null` means that it could not be read. */
export type EnvironmentFacts = Readonly<{
  /** /proc/sys/kernel/random/boot_id */
  bootId: string;
  /** /proc/cmdline */
  kernelCommandLine: string | null;
  /** /proc/1/exe, without the mark that the kernel adds when the program was replaced on the disk. */
  initPath: string | null;
  /** What the first process was called: the base name of its first argument, or the second where the first names busybox. */
  initName: string | null;
  /** The paths named by `init=` or `rdinit=` on the kernel's line that lead to the first process's program. */
  initAliases: readonly string[];
  /** Device and inode of `/` and of `/etc` are those that the first process sees. */
  rootIsInits: boolean | null;
  /** The type of `/` in /proc/self/mountinfo. */
  rootFilesystem: string | null;
  /** /etc/initrd-release exists: this is an initramfs. */
  initrd: boolean;
  /** /run/nextroot exists: a soft reboot would go into another root. */
  nextRoot: boolean;
  /** A one-shot boot entry or a reboot argument is set (loader entry, kexec loaded, /run/systemd/reboot-param). */
  bootOverride: boolean;
  /** The marker written at enrolment is the one this identity remembers. */
  marker: 'same' | 'other' | 'missing';
}>;

/** The same of a Windows machine; what each means stands in `core/environment-windows.ts`. */
export type WindowsEnvironmentFacts = Readonly<{
  system: 'windows';
  /** A random UUID that the first to ask in this boot drew, in a place that does not outlive the boot. */
  bootId: string;
  safeMode: boolean | null;
  preinstallation: boolean | null;
  imageState: string | null;
  setupInProgress: boolean | null;
  bootOverride: boolean | null;
  marker: EnvironmentFacts['marker'];
}>;

export type Environment = {
  /** Rejects with a `Failure` where not even the boot can be told. */
  observe(): Promise<EnvironmentFacts | WindowsEnvironmentFacts>;
};
