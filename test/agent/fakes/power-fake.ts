// Power of a fake machine: a reboot that is accepted happens at once, and the machine comes back with a new boot id.

import type { Power } from '../../../agent/ports/power.ts';
import { Failure } from '../../../protocol/failure.ts';
import type { FakeMachine } from './machine-fake.ts';

export function powerFake(machine: FakeMachine): Power {
  const assertPossible = (): void => {
    if (machine.power === 'denies') throw new Failure('REBOOT_DENIED', { reason: 'init_unknown' });
  };
  return {
    available: () => machine.faults.around('power.available', assertPossible),
    reboot: () =>
      machine.faults.around('power.reboot', () => {
        assertPossible();
        if (machine.power === 'reboots') machine.reboot();
      }),
    async warn(message) {
      machine.warnings.push(message);
    },
  };
}
