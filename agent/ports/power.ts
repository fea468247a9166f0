// A normal reboot, asked for through the machine's own init, and words to those who are signed in.

/**
 * The contract:
 * - `available` says whether a normal reboot can be asked for here, without asking for it; `REBOOT_DENIED` otherwise.
 * - `reboot` returns when the request was accepted; the machine, and this process, may die before. It throws `REBOOT_DENIED` with a
 *   `reason`, and never forces anything.
 * - `warn` tells signed-in people (wall(1)); it does its best and never fails.
 */
export type Power = {
  available(): Promise<void>;
  reboot(): Promise<void>;
  warn(message: string): Promise<void>;
};
