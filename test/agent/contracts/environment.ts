// The contract of the environment port.

import { equal, match } from 'node:assert/strict';
import type { Environment } from '../../../agent/ports/environment.ts';
import type { Rule } from './contract.ts';

export type EnvironmentOddity = 'initrd' | 'next_root' | 'other_marker' | 'no_marker' | 'reboot_argument';

export type EnvironmentSubject = Readonly<{
  /** An environment that booted normally, but for the oddity. */
  during(oddity: EnvironmentOddity | null, act: (environment: Environment) => Promise<void>): Promise<void>;
}>;

export const environmentRules: readonly Rule<EnvironmentSubject>[] = [
  {
    title: 'a machine that booted normally has nothing odd',
    run: (subject) =>
      subject.during(null, async (environment) => {
        const facts = await environment.observe();
        match(facts.bootId, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        match(facts.initPath ?? '', /^\//);
        match(facts.rootFilesystem ?? '', /^[a-z]/);
        match(facts.kernelCommandLine ?? '', /root=/);
        equal(facts.rootIsInits, true);
        equal(facts.marker, 'same');
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
      ['initrd', 'initrd', true],
      ['next_root', 'nextRoot', true],
      ['reboot_argument', 'bootOverride', true],
      ['other_marker', 'marker', 'other'],
      ['no_marker', 'marker', 'missing'],
    ] as const
  ).map(([oddity, fact, value]) => ({
    title: `an oddity shows in its own fact: ${oddity}`,
    run: (subject: EnvironmentSubject) =>
      subject.during(oddity, async (environment) => equal((await environment.observe())[fact], value)),
  })),
];
