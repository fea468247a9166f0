// The contract of the environment port.

import { equal, fail, match } from 'node:assert/strict';
import { environmentFault } from '../../../agent/core/environment.ts';
import type { Environment, EnvironmentFacts } from '../../../agent/ports/environment.ts';
import type { Rule } from './contract.ts';

export type EnvironmentOddity = 'initrd' | 'next_root' | 'other_marker' | 'no_marker' | 'reboot_argument';

export type EnvironmentSubject = Readonly<{
  /** An environment that booted normally, but for the oddity. */
  during(oddity: EnvironmentOddity | null, act: (environment: Environment) => Promise<void>): Promise<void>;
}>;

/** What lab guests have for a root. */
const ROOTFS_OF_GUESTS = ['overlay'];

export async function observeLinux(environment: Environment): Promise<EnvironmentFacts> {
  const facts = await environment.observe();
  return 'system' in facts ? fail('facts of another system') : facts;
}

export const environmentRules: readonly Rule<EnvironmentSubject>[] = [
  {
    title: 'a machine that booted normally has nothing odd',
    run: (subject) =>
      subject.during(null, async (environment) => {
        const facts = await environment.observe();
        match(facts.bootId, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        equal(facts.marker, 'same');
        equal(environmentFault(facts, ROOTFS_OF_GUESTS), undefined);
      }),
  },
  {
    title: 'the facts of a machine that booted normally are there',
    of: 'linux',
    run: (subject) =>
      subject.during(null, async (environment) => {
        const facts = await observeLinux(environment);
        match(facts.initPath ?? '', /^\//);
        match(facts.rootFilesystem ?? '', /^[a-z]/);
        match(facts.kernelCommandLine ?? '', /root=/);
        equal(facts.rootIsInits, true);
        equal(facts.initrd || facts.nextRoot || facts.bootOverride, false);
      }),
  },
  {
    title: 'the boot id stays the same within one boot',
    run: (subject) =>
      subject.during(null, async (environment) => {
        equal((await environment.observe()).bootId, (await environment.observe()).bootId);
      }),
  },
  ...(
    [
      ['other_marker', 'other'],
      ['no_marker', 'missing'],
    ] as const
  ).map(([oddity, value]) => ({
    title: `an oddity shows in its own fact: ${oddity}`,
    run: (subject: EnvironmentSubject) =>
      subject.during(oddity, async (environment) => equal((await environment.observe()).marker, value)),
  })),
  ...(
    [
      ['initrd', 'initrd', true],
      ['next_root', 'nextRoot', true],
      ['reboot_argument', 'bootOverride', true],
    ] as const
  ).map(([oddity, fact, value]) => ({
    title: `an oddity shows in its own fact: ${oddity}`,
    of: 'linux' as const,
    run: (subject: EnvironmentSubject) =>
      subject.during(oddity, async (environment) => equal((await observeLinux(environment))[fact], value)),
  })),
];
