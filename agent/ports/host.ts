// The machine that this program finds itself on, apart from any operation: which one it is, which boot this is, which
// processes live, and who may reach the agent's own files.

import type { Random } from './random.ts';

/** An empty text where there is none, or none that this user may read. */
export type Machine = Readonly<{ id: string; uuid: string }>;
export type Owner = Readonly<{ uid: number; gid: number }>;

/**
 * The contract:
 * - `bootId` is the same for whoever asks in one boot, and another in the next.
 * - `machine` tells what another machine would have otherwise, and what stays over a reboot.
 * - `processStart` says when a process started, in a form that no later process of the same number has; `null` where there
 *   is no such process.
 * - `demandPrivate` throws `JOURNAL_UNSAFE` where the agent's own folder could be reached by others. Where each file says
 *   by itself whose it is, that is demanded when it is opened, and there is nothing to demand here.
 * - `linkOwner` is the link's own user; `null` where both halves run as one.
 * - `environment` is what the agent's own programs are started with, and all that they have.
 */
export type Host = {
  bootId(): Promise<string>;
  machine(): Promise<Machine>;
  processStart(pid: number): Promise<string | null>;
  demandPrivate(folder: string): Promise<void>;
  linkOwner(): Promise<Owner | null>;
  environment: Readonly<Record<string, string>>;
};

/** What every process of the agent needs of its system. */
export type Here = Readonly<{ host: Host; random: Random }>;
