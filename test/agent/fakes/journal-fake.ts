// The journal of a fake machine. It uses the real chain over bytes in memory, so that a torn or damaged disk means the
// same as for the real one.

import { formatLine, hashLine, readChain } from '../../../agent/adapters/journal-chain.ts';
import type { Journal, JournalRecord } from '../../../agent/ports/journal.ts';
import { Failure } from '../../../protocol/failure.ts';
import type { FakeMachine } from './machine-fake.ts';

export function openJournalFake(machine: FakeMachine, mode: 'read' | 'write'): Promise<Journal> {
  return machine.faults.around('journal.open', () => {
    if (machine.journalTrouble === 'unsafe') throw new Failure('JOURNAL_UNSAFE', { reason: 'mode' });
    if (mode === 'write' && machine.journalWriter) throw new Failure('BUSY');
    const chain = readChain(machine.journal);
    if (mode === 'write') {
      machine.journalWriter = true;
      machine.journal = machine.journal.subarray(0, chain.bytes);
    }
    return journalOver(machine, chain, mode === 'write');
  });
}

function journalOver(machine: FakeMachine, chain: ReturnType<typeof readChain>, mayWrite: boolean): Journal {
  const records = [...chain.records];
  let { head } = chain;
  let open = true;
  return {
    torn: chain.torn,
    head: () => head,
    records: () => records,
    append: (record: JournalRecord) =>
      machine.faults.around('journal.append', () => {
        if (!open || !mayWrite) throw new Failure('JOURNAL_UNSAFE', { reason: 'closed' });
        if (machine.journalTrouble === 'full') throw new Failure('DISK_FULL');
        if (machine.journalTrouble === 'read_only') throw new Failure('FS_READONLY');
        const line = formatLine(head, record);
        machine.journal = Buffer.concat([machine.journal, line]);
        head = hashLine(line.subarray(0, -1));
        records.push(structuredClone(record));
      }),
    async close() {
      if (open && mayWrite) machine.journalWriter = false;
      open = false;
    },
  };
}
