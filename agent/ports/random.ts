// Randomness from the kernel, at the moment of use.

export type Random = {
  /**
   * Fresh bytes of /dev/urandom (random(4)). Never a process's own generator: it repeats after a live snapshot of the
   * machine is restored.
   */
  bytes(count: number): Uint8Array;
};
