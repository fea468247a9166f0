// VNC servers of the guest: which are there, what their credential is, and a new one, proven.

import type { Secret } from '../../protocol/secret.ts';

/**
 * `vncauth`: 8 bytes count. `login`: a user's name and a password of the server's own, all of which counts. `account`: the
 * server asks PAM, so its password is the account's.
 */
export type VncKind = 'vncauth' | 'login' | 'account';

/**
 * A finding of `list`: plain JSON, and all that the other calls need. It may be kept over a reboot and handed in again
 * before the server is up, when nothing but the record tells where its credential is.
 */
export type VncServer = Readonly<{
  /** Names it among its siblings in the same guest and stays the same over a reboot: `tigervnc:5901`. */
  id: string;
  kind: VncKind;
  /** How many bytes of a password count. */
  effective: number;
  /** The TCP port on loopback; `null` for a server that has none that can be reached from here. */
  port: number | null;
  /** Whose server it is, and so whose the credential's files must be. */
  owner: Readonly<{ uid: number; gid: number }>;
  /** The file that decides at the server's next start; `null` where that cannot be told. */
  source: string | null;
  /** Where it reads its credential at its start and never again. */
  reads?: 'start';
  /** Where it has a display of its own: programs that run there end with it. */
  display?: 'own';
}>;

/** What `setPassword` did; `previous` is the secret in what it replaced, the caller's to wipe, or `null` for none. */
export type Replaced = Readonly<{ files: readonly VncFile[]; previous: Secret | null }>;

/** One credential file and a keyed hash of its content. `source` outlives a reboot; `live` is what the running server reads. */
export type VncFile = Readonly<{ role: 'source' | 'live'; path: string; hash: string }>;

/** `accepted` and `rejected` are the server's own words; `unknown` is everything else (busy, blocked, gone). */
export type VncVerdict = Readonly<{ verdict: 'accepted' | 'rejected' | 'unknown'; reason: string }>;

/**
 * The contract:
 * - `list` gives the servers that run now. It never changes or connects to anything and never uses up a server's
 *   tolerance for failed logins.
 * - `setPassword` is for every kind but `account` (`VNC_FAILED`, reason `account_kind`). It writes every file that matters now
 *   and after the next start, as its owner, by rename, synced; whether the running server obeys is for `probe` to say. It
 *   throws `VNC_FAILED` (with `reason`) and then has left all files as they were. What counts of
 *   the secret must differ from what is stored (reason `unchanged`).
 * - `demandChangeable` throws what `setPassword` would throw for any password, or for the given one, before it changes a file.
 *   It changes nothing and connects to nothing.
 * - `restart` restarts the server, and nothing else, through the manager that keeps it, and returns when the manager has done
 *   so: `unmanaged`, and nothing was done, where none is known that keeps this server alone. Throws `VNC_FAILED`, reason
 *   `restart_failed`.
 * - `probe` does one handshake on loopback and no more, from an address of its own, and never starts a session. Where the
 *   server hears from the usual address alone, and counts no failures, it comes from there.
 * - `probeStored` does the same with the secret read back from the source file; `unknown` where it cannot be read back.
 * - `files` gives the credential's files with their present hashes; a file that is not there is left out, and one that
 *   is not its owner's alone is `VNC_FAILED`. `source` comes from the record, so it is given also while the server does
 *   not run; `live` only where it is another file. A record whose server is gone, or is now someone else's, has no
 *   `live` file, and every probe of it is `unknown`.
 */
export type Vnc = {
  list(): Promise<readonly VncServer[]>;
  files(server: VncServer): Promise<readonly VncFile[]>;
  demandChangeable(server: VncServer, password?: Secret): Promise<void>;
  setPassword(server: VncServer, password: Secret): Promise<Replaced>;
  restart(server: VncServer): Promise<'restarted' | 'unmanaged'>;
  probe(server: VncServer, password: Secret): Promise<VncVerdict>;
  probeStored(server: VncServer): Promise<VncVerdict>;
};
