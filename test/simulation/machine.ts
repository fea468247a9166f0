// A fake machine with a disk that may lose what was not synced, a reboot that takes its time or never comes, and a memory of
// everything that was ever set. It knows passwords in clear and must never leave the tests.

import { PASSWORD_BYTES_MAX } from '../../protocol/limits.ts';
import { generatePassword } from '../../protocol/password.ts';
import type { Slot } from '../../protocol/seal.ts';
import { type FakeAccount, FakeMachine, type FakeVncServer } from '../agent/fakes/machine-fake.ts';
import type { Chance } from './chance.ts';
import type { AtBoot, Scenario } from './scenario.ts';

/** A change that took effect. */
export type Change = Readonly<{ slot: Slot; secret: string }>;

export const STRANGER = 'Str4nger-was-here';

export class SimulatedMachine extends FakeMachine {
  /** Each effective change of a secret by the agent. */
  readonly changes: Change[] = [];
  readonly before: Readonly<{ account: string | null; vnc: string | null }>;
  /** Someone else changed these. */
  readonly strangers = new Set<Slot>();
  readonly server: FakeVncServer | null;
  /** In the boot that this is, when a reboot was last accepted, by the clock of that boot. */
  rebootAskedAtMs: number | null = null;
  /** When an accepted reboot begins. */
  shutdownInMs: number | null = null;
  swallows: number;
  nowMs = 5_000;
  readonly #unsynced: (() => void)[] = [];
  readonly #chance: Chance;
  readonly #scenario: Scenario['machine'];

  constructor(scenario: Scenario['machine'], chance: Chance) {
    super();
    this.#chance = chance;
    this.#scenario = scenario;
    this.swallows = scenario.swallows;
    const password = scenario.account === 'no_password' ? null : draw(chance, PASSWORD_BYTES_MAX);
    this.accounts.set('root', { uid: 0, password, state: scenario.account, changes: 0 });
    this.accounts.set('ada', { uid: 1000, password: draw(chance, 20), state: 'active', changes: 0 });
    if (scenario.twin) this.accounts.set('toor', { uid: 0, password: null, state: 'active', changes: 0 });
    this.server = this.#makeServer();
    this.before = { account: password, vnc: this.server?.source ?? null };
  }

  get root(): FakeAccount {
    const found = this.accounts.get('root');
    if (!found) throw new Error('the machine has no root');
    return found;
  }

  #makeServer(): FakeVncServer | null {
    const { vnc } = this.#scenario;
    if (vnc === 'absent') return null;
    const source = vnc === 'no_credential' ? null : draw(this.#chance, 8);
    if (vnc === 'two') this.addVncServer({ port: 5902, sourcePath: '/home/bob/.vnc/passwd', uid: 1001 });
    return this.addVncServer({
      source,
      copies: vnc !== 'reads_source',
      unsafe: vnc === 'unsafe' ? 'mode' : null,
      unwritable: vnc === 'unwritable',
      inline: vnc === 'inline',
      trouble: vnc === 'busy' ? 'busy' : null,
      kind: vnc === 'asks_account' ? 'account' : 'vncauth',
    });
  }

  /** A call of the agent took effect. `undone` is what a power cut before the sync brings back. */
  changed(
    slot: Slot,
    secret: string,
    undone: Readonly<{ root: FakeAccount; source?: string | null | undefined }>,
  ): void {
    const { root, server } = this;
    const undo = () => {
      if (slot === 'account') Object.assign(root, undone.root);
      else if (server) server.source = undone.source ?? null;
    };
    this.changes.push({ slot, secret });
    this.#unsynced.push(undo);
    if (slot === 'account' && this.#scenario.alsoChanges) this.accounts.set('eve', { ...undone.root, uid: 1002 });
  }

  /** What a call changed is on the disk when it returns. */
  synced(): void {
    this.#unsynced.length = 0;
  }

  /** A line that was being written when the process died is there, not there, or there in part. */
  tearLine(bytesBefore: number): void {
    const line = this.journal.subarray(bytesBefore);
    const kept = this.#chance.int(line.length + 1);
    const zeros = this.#chance.oneIn(4);
    const rest = zeros ? Buffer.alloc(line.length - kept) : Buffer.alloc(0);
    this.journal = Buffer.concat([this.journal.subarray(0, bytesBefore), line.subarray(0, kept), rest]);
  }

  override reboot(): void {
    this.synced();
    this.#start();
  }

  powerCut(): void {
    // Later writes are lost with the earlier ones that they were made upon.
    const lost = this.#unsynced.slice(this.#chance.int(this.#unsynced.length + 1));
    for (const undo of lost.reverse()) undo();
    this.#unsynced.length = 0;
    this.#start();
  }

  #start(): void {
    this.nowMs = 5_000;
    this.rebootAskedAtMs = null;
    this.shutdownInMs = null;
    this.#meanwhile(this.#scenario.atBoot);
    super.reboot();
    if (this.server) this.server.trouble = null;
    if (this.server && this.#scenario.atBoot === 'vnc_gone') this.server.running = false;
  }

  #meanwhile(happens: AtBoot): void {
    if (happens === 'account_changed') {
      Object.assign(this.root, { password: STRANGER, changes: this.root.changes + 1 });
      this.strangers.add('account');
    }
    if (happens === 'vnc_changed' && this.server) {
      this.server.source = STRANGER.slice(0, 8);
      this.strangers.add('vnc');
    }
    if (happens === 'other_init') this.facts = { initPath: '/bin/bash' };
    if (happens === 'other_root') this.facts = { marker: 'other' };
    if (happens === 'nextroot') this.facts = { nextRoot: true };
  }
}

export function draw(chance: Chance, length: number): string {
  return generatePassword(length, (count) => chance.bytes(count)).reveal();
}
