// What a seed decides before anything runs: the order, the machine and everything that will go wrong, as plain data that
// can be printed, written by hand, and made smaller.

import type { Code } from '../../protocol/codes.ts';
import type { FakeAccount } from '../agent/fakes/machine-fake.ts';
import { Chance } from './chance.ts';

export type SecretWish = 'typed' | 'generated' | null;
export type VncWish =
  | 'there'
  | 'absent'
  | 'reads_source'
  | 'no_credential'
  | 'unsafe'
  | 'unwritable'
  | 'inline'
  | 'busy'
  | 'asks_account'
  | 'two'
  | 'vanishes';

/** What happens while the machine is down. */
export type AtBoot = 'account_changed' | 'vnc_changed' | 'vnc_gone' | 'other_init' | 'other_root' | 'nextroot' | null;

/** `during`: the effect took place, and neither was it made durable nor did the call return. */
export type When = 'before' | 'during' | 'after';
export type Blow = Readonly<{
  /** A port's call; `undefined` counts all calls of the process. */
  call?: string;
  nth: number;
  when: When;
  /** `defect`: an error that no contract names. */
  how: 'kill' | 'power_cut' | 'fail' | 'defect';
  /** `ever`: from the Nth on, in every later process too. */
  stretch?: 'once' | 'process' | 'ever';
}>;

/** What happens beside the process at work, while it is in a call of a port. */
export const happenings = [
  'cancel',
  'receipts',
  'prepare',
  'resume',
  'ack_process',
  'ack',
  'again',
  'disconnect',
] as const;
export type Happening = Readonly<{ at: number; what: (typeof happenings)[number] }>;

export type Episode = Readonly<{
  /** What happens before this process is started. */
  first: 'power_cut' | 'ack' | 'cancel' | 'torn' | null;
  blow: Blow | null;
  happenings: readonly Happening[];
}>;

export type Scenario = Readonly<{
  seed: number;
  order: Readonly<{ account: SecretWish; vnc: SecretWish; graceS: number; unlock: boolean }>;
  machine: Readonly<{
    account: FakeAccount['state'];
    /** Another name has the administrator's uid. */
    twin: boolean;
    /** Another entry changes in the same moment. */
    alsoChanges: boolean;
    vnc: VncWish;
    denies: boolean;
    /** A one-shot boot entry appears after the acceptance. */
    bootOverride: boolean;
    /** How many requests for a reboot are accepted and forgotten. */
    swallows: number;
    /** How long a reboot that was accepted takes to begin. */
    shutdownMs: number;
    atBoot: AtBoot;
  }>;
  episodes: readonly Episode[];
}>;

export const quiet: Episode = { first: null, blow: null, happenings: [] };

/** A whole reset on a machine without trouble, but for what is said. */
export function scenarioOf(
  wishes: Readonly<{
    order?: Partial<Scenario['order']>;
    machine?: Partial<Scenario['machine']>;
    episodes?: readonly Partial<Episode>[];
    seed?: number;
  }> = {},
): Scenario {
  return {
    seed: wishes.seed ?? 1,
    order: { account: 'generated', vnc: 'generated', graceS: 0, unlock: false, ...wishes.order },
    machine: {
      account: 'active',
      twin: false,
      alsoChanges: false,
      vnc: 'there',
      denies: false,
      bootOverride: false,
      swallows: 0,
      shutdownMs: 0,
      atBoot: null,
      ...wishes.machine,
    },
    episodes: (wishes.episodes ?? []).map((episode) => ({ ...quiet, ...episode })),
  };
}

/** The codes with which a call may fail by its contract: with nothing done, and after something was. */
export const failures: Readonly<
  Record<string, Readonly<{ before: readonly [Code, ...Code[]]; after?: readonly [Code, ...Code[]] }>>
> = {
  'accounts.resolve': { before: ['ACCOUNT_NOT_FOUND', 'VERIFY_FAILED'] },
  'accounts.fingerprint': { before: ['VERIFY_FAILED'] },
  'accounts.setPassword': {
    before: ['PASSWD_FAILED', 'SHADOW_LOCKED', 'FS_READONLY', 'DISK_FULL', 'VERIFY_FAILED'],
    after: ['VERIFY_FAILED'],
  },
  'accounts.accepts': { before: ['VERIFY_FAILED'] },
  'accounts.usable': { before: ['VERIFY_FAILED'] },
  'vnc.list': { before: ['VNC_FAILED'] },
  'vnc.files': { before: ['VNC_FAILED'] },
  'vnc.setPassword': { before: ['VNC_FAILED'] },
  'vnc.probe': { before: ['VNC_FAILED'] },
  'vnc.probeStored': { before: ['VNC_FAILED'] },
  'power.available': { before: ['REBOOT_DENIED'] },
  // An init that takes the request and answers too late.
  'power.reboot': { before: ['REBOOT_DENIED'], after: ['REBOOT_DENIED'] },
  'journal.open': { before: ['JOURNAL_UNSAFE', 'FS_READONLY', 'BUSY'] },
  // A line that could not be taken back: the writer is broken from then on.
  'journal.append': { before: ['DISK_FULL', 'FS_READONLY'], after: ['JOURNAL_UNSAFE'] },
};

const failing = Object.keys(failures) as [string, ...string[]];
const secretWishes: readonly [SecretWish, ...SecretWish[]] = ['typed', 'generated', null];

export function drawScenario(seed: number): Scenario {
  const chance = new Chance(seed);
  const account = chance.pick(secretWishes);
  const vnc = account === null ? chance.pick<SecretWish>(['typed', 'generated']) : chance.pick(secretWishes);
  const graceS = chance.pick([0, 0, 0, 1, 2]);
  const order = { account, vnc, graceS, unlock: chance.oneIn(2) };
  // Most machines are ordinary, or most runs would end before they began.
  const machine: Scenario['machine'] = {
    account: chance.oneIn(4) ? chance.pick(['no_password', 'locked', 'expired', 'must_change']) : 'active',
    twin: chance.oneIn(40),
    alsoChanges: chance.oneIn(25),
    vnc: chance.oneIn(2)
      ? 'there'
      : chance.pick([
          'absent',
          'reads_source',
          'no_credential',
          'unsafe',
          'unwritable',
          'inline',
          'busy',
          'asks_account',
          'two',
          'vanishes',
        ]),
    denies: chance.oneIn(40),
    bootOverride: chance.oneIn(25),
    swallows: chance.oneIn(4) ? chance.pick([1, 2, 3, 99]) : 0,
    shutdownMs: chance.pick([0, 0, 0, 5_000, 119_000, 130_000]),
    atBoot: chance.oneIn(4)
      ? chance.pick(['account_changed', 'vnc_changed', 'vnc_gone', 'other_init', 'other_root', 'nextroot'])
      : null,
  };
  const episodes = Array.from({ length: 1 + chance.int(5) }, (_, i) => drawEpisode(chance, i === 0));
  return { seed, order, machine, episodes };
}

function drawEpisode(chance: Chance, accepting: boolean): Episode {
  return {
    first: !accepting && chance.oneIn(3) ? chance.pick(['power_cut', 'ack', 'cancel', 'torn']) : null,
    blow: chance.oneIn(6) ? null : drawBlow(chance, accepting && !chance.oneIn(4) ? [13, 22] : [1, 14]),
    happenings: Array.from({ length: chance.oneIn(2) ? 0 : 1 + chance.int(3) }, () => ({
      at: 1 + chance.int(accepting ? 30 : 12),
      what: chance.pick(happenings),
    })),
  };
}

/** From the call `from` on; before the 13th nothing was accepted. */
function drawBlow(chance: Chance, [from, calls]: readonly [number, number]): Blow {
  const how = chance.pick<Blow['how']>(['kill', 'kill', 'power_cut', 'fail', 'fail', 'defect']);
  const nth = from + chance.int(calls);
  const when = chance.pick<When>(['before', 'during', 'after']);
  if (how !== 'fail') return { nth, when, how };
  const call = chance.pick(failing);
  const stretch = chance.pick<NonNullable<Blow['stretch']>>(['once', 'once', 'process', 'ever']);
  const fails = when === 'before' || failures[call]?.after === undefined ? 'before' : 'after';
  return { call, nth: 1 + chance.int(call.startsWith('journal.') ? 8 : 2), when: fails, how, stretch };
}
