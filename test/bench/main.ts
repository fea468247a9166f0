// `npm run bench -- NAME`: measures against a baseline in the same run, in turns, and prints ratios. Nothing here asserts a
// time.

import { benchAgent } from './agent.ts';
import { benchGateway } from './gateway.ts';
import { benchLimits } from './limits.ts';
import { benchReset } from './reset.ts';

type Bench = Readonly<{ rounds: number; run(rounds: number, options: { json: boolean }): Promise<void> }>;
const benches: Readonly<Record<string, Bench>> = {
  agent: { rounds: 9, run: benchAgent },
  gateway: { rounds: 3, run: benchGateway },
  limits: { rounds: 200, run: benchLimits },
  reset: { rounds: 15, run: benchReset },
};

const words = process.argv.slice(2);
const json = words.includes('--json');
const [name = '', rounds, ...more] = words.filter((word) => word !== '--json');
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
const unknown = more.length > 0 || (json && name !== 'agent') || (rounds && !/^[1-9][0-9]{0,2}$/.test(rounds));
if (!bench || unknown) {
  console.error(
    'usage: npm run bench -- agent [ROUNDS] [--json]\n       npm run bench -- gateway|limits|reset [ROUNDS]',
  );
  process.exit(2);
}
await bench.run(rounds ? Number(rounds) : bench.rounds, { json });
process.exit();
