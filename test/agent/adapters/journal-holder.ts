// A process that opens the journal in the folder it is given, says `held` or the code, and stays until it is ended.

import { openJournalFile } from '../../../agent/adapters/journal-file.ts';
import { codeOf } from '../../../protocol/failure.ts';

const folder = process.argv[2] ?? '';
try {
  await openJournalFile({ folder, mode: 'write', owner: process.getuid?.() ?? 0 });
  process.stdout.write('held\n');
} catch (error) {
  process.stdout.write(`${codeOf(error) ?? 'defect'}\n`);
}
setInterval(() => {}, 60_000);
