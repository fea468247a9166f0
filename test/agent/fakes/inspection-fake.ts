// What a fake machine has of the things that a reset needs: all of it, but for the troubles that the machine is in.

import type { Inspection, StorageFacts } from '../../../agent/ports/inspection.ts';
import { NOW_S } from '../../protocol/samples.ts';
import type { FakeMachine } from './machine-fake.ts';

const FREE_BYTES = 1_000_000_000;

export function inspectionFake(machine: FakeMachine): Inspection {
  const call = <T>(name: string, act: () => T): Promise<T> => machine.faults.around(`inspection.${name}`, act);
  const storage = (holds: StorageFacts['holds'], trouble: string | null): StorageFacts => ({
    place: holds === 'journal' ? '/var/lib/latchkey-agent/executor' : '/etc',
    holds,
    writable: trouble === 'read_only' ? 'readonly' : 'yes',
    freeBytes: trouble === 'full' ? 0 : FREE_BYTES,
  });
  return {
    platform: () => call('platform', () => ({ system: 'linux', proven: true })),
    passwordProgram: () =>
      call('passwordProgram', () => (machine.programTrouble === 'missing' ? null : '/usr/bin/passwd')),
    terminal: () => call('terminal', () => machine.programTrouble !== 'no_terminal'),
    pam: () => call('pam', () => ({ service: 'passwd', denies: false, missing: [], unclear: false })),
    storage: () =>
      call('storage', () => [storage('journal', machine.journalTrouble), storage('accounts', machine.diskTrouble)]),
    databaseHeld: () => call('databaseHeld', () => machine.diskTrouble === 'lock_held'),
    sandbox: () => call('sandbox', () => ({ managed: true, noNewPrivileges: true, capabilities: 0n, seccomp: true })),
    wallS: () => NOW_S,
  };
}
