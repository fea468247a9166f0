// The contract of the power port. That an accepted reboot brings a new boot is seen from outside the machine.

import type { Power } from '../../../agent/ports/power.ts';
import { type Rule, refuses } from './contract.ts';

export type PowerSubject = Readonly<{
  /** `unknown_init`: the first process is none that takes a request for a normal reboot. */
  power(machine: 'normal' | 'unknown_init'): Power;
  /** What the second is refused with; `init_unknown` where it does not say otherwise. */
  reason?: string;
}>;

export const powerRules: readonly Rule<PowerSubject>[] = [
  {
    title: 'whether a reboot can be asked for is told without asking for it',
    run: (subject) => subject.power('normal').available(),
  },
  {
    title: 'an unknown init is not asked to reboot',
    async run(subject) {
      const reason = subject.reason ?? 'init_unknown';
      await refuses(subject.power('unknown_init').available(), 'REBOOT_DENIED', reason);
      await refuses(subject.power('unknown_init').reboot(), 'REBOOT_DENIED', reason);
    },
  },
  {
    title: 'words to signed-in people never fail',
    async run(subject) {
      await subject.power('normal').warn('The system restarts now.\u001b[2J');
      await subject.power('unknown_init').warn('');
    },
  },
];
