// What the machine has of the things that a reset needs, beside what the other ports tell. It looks; nothing is changed.

/** `denied`: it may not be written although the disk is not read-only. */
export type Writable = 'yes' | 'readonly' | 'denied';

/** A place that a reset writes to, and what of it lies there. `null`: it could not be told. */
export type StorageFacts = Readonly<{
  place: string;
  holds: 'journal' | 'accounts';
  writable: Writable | null;
  freeBytes: number | null;
}>;

/** The stack of PAM that the password program goes through (pam.conf(5)). */
export type PamFacts = Readonly<{
  /** The service whose rules apply; `null` where neither its own nor the fallback's are there. */
  service: string | null;
  /** Its first rule refuses everybody. */
  denies: boolean;
  /** Modules that must be there and are not. */
  missing: readonly string[];
  /** None of its modules was found, so it is not known where modules are. */
  unclear: boolean;
}>;

/** What holds for this very process (proc(5), /proc/PID/status). */
export type SandboxFacts = Readonly<{
  /** Whether a service manager is here that could restrict it. */
  managed: boolean;
  noNewPrivileges: boolean;
  /** Capabilities that it could ever have, as a mask. */
  capabilities: bigint;
  seccomp: boolean;
}>;

/**
 * The contract: each tells what a reset would meet now, by looking as the reset itself looks; `null`, or a rejection with
 * a `Failure`, means that it could not be told. None changes anything, asks for a secret, or connects anywhere.
 */
export type Inspection = {
  /** `proven`: whether this agent was proven on a real machine of the system. */
  platform(): Promise<Readonly<{ system: string; proven: boolean }>>;
  /** Where the program is that sets passwords; `null` where there is none. */
  passwordProgram(): Promise<string | null>;
  /** Whether a program can be run on a pseudo-terminal. */
  terminal(): Promise<boolean>;
  /** `null` where the system has no PAM. */
  pam(): Promise<PamFacts | null>;
  storage(): Promise<readonly StorageFacts[]>;
  /** Whether another program holds the account database. */
  databaseHeld(): Promise<boolean>;
  /** `null` where the system has no such thing. */
  sandbox(): Promise<SandboxFacts | null>;
  /** The guest's own clock, in whole seconds since 1970. Told, and nothing decides by it. */
  wallS(): number;
};
