// The environment of a fake machine: that of one that booted normally, but for what the test says.

import type { Environment } from '../../../agent/ports/environment.ts';
import type { FakeMachine } from './machine-fake.ts';

export function environmentFake(machine: FakeMachine): Environment {
  return {
    observe: () =>
      machine.faults.around('environment.observe', () => ({
        bootId: machine.bootId,
        kernelCommandLine: 'BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet',
        initPath: '/usr/lib/systemd/systemd',
        initName: 'systemd',
        initAliases: [],
        rootIsInits: true,
        rootFilesystem: 'ext4',
        initrd: false,
        nextRoot: false,
        bootOverride: false,
        marker: 'same',
        ...machine.facts,
      })),
  };
}
