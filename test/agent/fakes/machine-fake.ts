// The state of a fake machine: what lies on its disk and what runs on it. It outlives every fake port and every crash of
// a process; a reboot gives it a new boot id and starts its VNC servers from their source files.

import { createHmac } from 'node:crypto';
import type { AccountObstacle } from '../../../agent/ports/accounts.ts';
import type { EnvironmentFacts } from '../../../agent/ports/environment.ts';
import { Faults } from './faults.ts';

/** A password program that does not do what it should. */
export type ProgramTrouble =
  | 'echoes'
  | 'hangs'
  | 'asks_current'
  | 'missing'
  | 'no_terminal'
  | 'refuses'
  | 'asks_unknown'
  | 'denied';
export type DiskTrouble = 'lock_held' | 'read_only' | 'full';

export type FakeAccount = {
  uid: number;
  password: string | null;
  state: 'active' | 'locked' | 'expired' | 'must_change' | 'no_password';
  /** Grows with every change of the entry, as a new salt and date would. */
  changes: number;
  /** What keeps its owner out beside the password. */
  obstacles?: readonly AccountObstacle[];
  /** Passwords it has had while the system remembered them. */
  had?: readonly string[];
};

export type FakeVncServer = {
  port: number;
  kind: 'vncauth' | 'account';
  running: boolean;
  uid: number;
  sourcePath: string | null;
  /** The 8 bytes that count, as text; `null` for no file. */
  source: string | null;
  /** The copy that the running server reads; `null` where it reads the source itself. */
  live: string | null;
  /** Whether each start makes a copy. */
  copies: boolean;
  /** Reads its source once; then `live` is what it remembers, and no file. */
  atStart: boolean;
  /** A manager keeps it and can restart it. */
  managed: boolean;
  /** Its arguments name files that it does not read. */
  obeysFiles: boolean;
  /** Takes whatever it is told. */
  takesAll: boolean;
  /** Another secret that it takes, which is in no file that is known. */
  alsoTakes: string | null;
  /** Failed logins in a row. */
  failures: number;
  /** Its password stands in its arguments and overrides the file. */
  inline: boolean;
  /** Why its files must not be touched. */
  unsafe: string | null;
  /** The files may be read and not written. */
  unwritable: boolean;
  /** What probes meet instead of an answer. */
  trouble: string | null;
};

export class FakeMachine {
  readonly accounts = new Map<string, FakeAccount>();
  readonly vncServers: FakeVncServer[] = [];
  readonly faults: Faults;
  /** The journal's bytes, as they are on the disk. */
  journal = Buffer.alloc(0);
  journalWriter = false;
  journalTrouble: 'read_only' | 'full' | 'unsafe' | null = null;
  programTrouble: ProgramTrouble | null = null;
  diskTrouble: DiskTrouble | null = null;
  /** The system refuses a password that the account has had. */
  remembersPasswords = false;
  /** What the SSH server's configuration means for passwords. */
  sshObstacles: readonly AccountObstacle[] = [];
  /** `swallows` accepts the request and does nothing. */
  power: 'reboots' | 'denies' | 'swallows' = 'reboots';
  facts: Partial<EnvironmentFacts> = {};
  readonly warnings: string[] = [];
  boots = 1;
  readonly #rebooted: (() => void)[] = [];

  constructor() {
    this.faults = new Faults(() => this.endProcess());
    this.accounts.set('root', { uid: 0, password: null, state: 'no_password', changes: 0 });
  }

  get bootId(): string {
    return `00000000-0000-4000-8000-${String(this.boots).padStart(12, '0')}`;
  }

  addVncServer(wishes: Partial<FakeVncServer> = {}): FakeVncServer {
    const server: FakeVncServer = {
      port: 5901,
      kind: 'vncauth',
      running: true,
      uid: 1000,
      sourcePath: '/home/ada/.vnc/passwd',
      source: null,
      live: null,
      copies: true,
      atStart: false,
      managed: false,
      obeysFiles: true,
      takesAll: false,
      alsoTakes: null,
      failures: 0,
      inline: false,
      unsafe: null,
      unwritable: false,
      trouble: null,
      ...wishes,
    };
    if ((server.copies || server.atStart) && server.live === null) server.live = server.source;
    this.vncServers.push(server);
    return server;
  }

  /** What a process held is let go; what it wrote stays. */
  endProcess(): void {
    this.journalWriter = false;
  }

  onReboot(told: () => void): void {
    this.#rebooted.push(told);
  }

  startVnc(server: FakeVncServer): void {
    server.running = true;
    server.live = server.copies || server.atStart ? server.source : null;
    server.failures = 0;
  }

  reboot(): void {
    this.boots += 1;
    this.endProcess();
    for (const server of this.vncServers) this.startVnc(server);
    for (const told of this.#rebooted) told();
  }
}

const KEY = 'the fakes have one key';

export function hashOf(...parts: readonly (string | number | null)[]): string {
  return createHmac('sha256', KEY).update(JSON.stringify(parts)).digest('base64url');
}
