// Says who it is and starts anew, once: a file tells the second that it is the second.

import { existsSync, writeFileSync } from 'node:fs';
import { startAnew } from '../../../agent/link/memory.ts';

const [, , trace = ''] = process.argv;
console.log(JSON.stringify({ pid: process.pid, words: process.argv.slice(2) }));
if (!existsSync(trace)) {
  writeFileSync(trace, '');
  startAnew();
}
