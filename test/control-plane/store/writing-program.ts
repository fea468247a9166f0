// Writes events without end, many at once, into the database that it is told of, and says the number of each once it is
// acknowledged: for tests that kill it.

import { appendEvent } from '../../../control-plane/store/events.ts';
import { Store } from '../../../control-plane/store/store.ts';

const AT_ONCE = 50;
const store = await Store.open(JSON.parse(process.argv[2] ?? ''));

for (let first = 0; ; first += AT_ONCE) {
  const numbers = Array.from({ length: AT_ONCE }, (_, n) => first + n);
  await Promise.all(
    numbers.map(async (n) => {
      await store.write((trx) => appendEvent(trx, { at: 0, vm: null, op: null, type: 'x', data: { n } }));
      process.stdout.write(`${n}\n`);
    }),
  );
}
