// Journals that released versions wrote, read by this one: they mean what they meant, and what was left in the middle is
// taken up and brought to its end.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readChain } from '../../agent/adapters/journal-chain.ts';
import { isEnded, readLedger } from '../../agent/core/ledger.ts';
import { verifyChain } from '../agent/executor/guest.ts';
import { digestOf, entriesOf, JOURNALS } from '../fixtures/journals.ts';
import { scenarioOf } from './scenario.ts';
import { World } from './world.ts';

const versions = readdirSync(JOURNALS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const files = versions.flatMap(({ name: version }) =>
  readdirSync(join(JOURNALS, version))
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => [version, name.replace('.jsonl', '')] as const),
);
const journalOf = (version: string, name: string) => readFileSync(join(JOURNALS, version, `${name}.jsonl`));
const expectedOf = (version: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(JOURNALS, version, 'expected.json'), 'utf8')) as Record<string, unknown>;

test('every journal that is kept is expected to say something, and the other way round', () => {
  for (const { name: version } of versions) {
    const found = files.filter(([of]) => of === version).map(([, name]) => name);
    expect(found.sort()).toEqual(Object.keys(expectedOf(version)).sort());
    expect(found.length).toBeGreaterThan(0);
  }
});

test.each(files)('%s: %s means what it meant', async (version, name) => {
  const chain = readChain(journalOf(version, name));
  const ledger = readLedger(entriesOf(chain));
  const read = {
    head: chain.head,
    torn: chain.torn,
    entries: chain.records.length,
    operations: digestOf(ledger),
  };
  expect(JSON.parse(JSON.stringify(read))).toEqual(expectedOf(version)[name]);
  for (const { receipts } of ledger.values()) await verifyChain(receipts.map(({ token }) => token));
});

test.each(files.filter(([, name]) => name.startsWith('open-')))(
  '%s: %s is taken up on a machine on which nothing was changed, and ends',
  async (version, name) => {
    const world = new World(scenarioOf());
    world.machine.journal = journalOf(version, name);
    expect(world.open).toBe(true);
    await world.resume();
    const { operation } = world;
    if (!operation) throw new Error('the operation is lost');
    expect(isEnded(operation)).toBe(true);
    const untouched = ['open-accepted', 'open-waiting', 'open-secret-ready', 'open-account-begun'].includes(name);
    expect(operation.state).toBe(untouched ? 'INTERRUPTED' : 'PARTIAL');
    expect(world.machine.changes).toEqual([]);
    await verifyChain(operation.receipts.map(({ token }) => token));
  },
);
