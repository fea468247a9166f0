// `npm run bench -- NAME`: measures against a baseline in the same run, interleaved, and prints ratios. Nothing here
// asserts a time.

import { benchReset } from './reset.ts';

const benches: Readonly<Record<string, (rounds: number) => Promise<void>>> = { reset: benchReset };

const [name = '', rounds = '15'] = process.argv.slice(2);
const bench = benches[name];
if (!bench || !/^[1-9][0-9]{0,2}$/.test(rounds)) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join('|')} [ROUNDS]`);
  process.exit(2);
}
await bench(Number(rounds));
process.exit();
