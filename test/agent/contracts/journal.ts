// The contract of the journal port.

import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Journal } from '../../../agent/ports/journal.ts';
import { type Rule, refuses } from './contract.ts';

export type JournalSubject = Readonly<{
  /** Begins with no journal. */
  clear(): Promise<void>;
  open(mode: 'read' | 'write'): Promise<Journal>;
  read(): Promise<Buffer>;
  write(content: Buffer): Promise<void>;
  /** Runs while the journal's place is not private. */
  whileUnsafe(act: () => Promise<void>): Promise<void>;
}>;

const EMPTY_HEAD = createHash('sha256').digest('base64url');

async function withLines(subject: JournalSubject, count: number): Promise<void> {
  await subject.clear();
  const journal = await subject.open('write');
  for (let n = 0; n < count; n += 1) await journal.append({ n });
  await journal.close();
}

async function readBack(subject: JournalSubject): Promise<{ torn: boolean; head: string; records: unknown }> {
  const journal = await subject.open('read');
  const seen = { torn: journal.torn, head: journal.head(), records: [...journal.records()] };
  await journal.close();
  return seen;
}

export const journalRules: readonly Rule<JournalSubject>[] = [
  {
    title: 'an empty journal has no records and the head of nothing',
    async run(subject) {
      await subject.clear();
      deepEqual(await readBack(subject), { torn: false, head: EMPTY_HEAD, records: [] });
    },
  },
  {
    title: 'what was appended is read back, in order, under the same head',
    async run(subject) {
      await subject.clear();
      const journal = await subject.open('write');
      await journal.append({ state: 'ACCEPTED', text: 'line\nbreak', nested: { n: 1 } });
      await journal.append({ state: 'WAITING' });
      const [records, head] = [[...journal.records()], journal.head()];
      await journal.close();
      deepEqual(records, [{ state: 'ACCEPTED', text: 'line\nbreak', nested: { n: 1 } }, { state: 'WAITING' }]);
      deepEqual(await readBack(subject), { torn: false, head, records });
    },
  },
  {
    title: 'every line moves the head, an equal one included',
    async run(subject) {
      await subject.clear();
      const journal = await subject.open('write');
      await journal.append({ same: true });
      const first = journal.head();
      await journal.append({ same: true });
      notEqual(journal.head(), first);
      await journal.close();
    },
  },
  {
    title: 'appends that are asked for at once come one after the other',
    async run(subject) {
      await subject.clear();
      const journal = await subject.open('write');
      await Promise.all([1, 2, 3, 4].map((n) => journal.append({ n })));
      await journal.close();
      deepEqual((await readBack(subject)).records, [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
    },
  },
  {
    title: 'a record is kept as it was when it was appended',
    async run(subject) {
      await subject.clear();
      const journal = await subject.open('write');
      const record = { list: [1] };
      await journal.append(record);
      record.list.push(2);
      deepEqual(journal.records(), [{ list: [1] }]);
      await journal.close();
    },
  },
  {
    title: 'a second writer is BUSY until the first has closed',
    async run(subject) {
      await subject.clear();
      const first = await subject.open('write');
      await refuses(subject.open('write'), 'BUSY');
      await (await subject.open('read')).close();
      await first.close();
      await (await subject.open('write')).close();
    },
  },
  {
    title: 'a reader and a closed writer cannot append',
    async run(subject) {
      await withLines(subject, 1);
      const reader = await subject.open('read');
      await refuses(reader.append({}), 'JOURNAL_UNSAFE');
      await reader.close();
      const writer = await subject.open('write');
      await writer.close();
      await refuses(writer.append({}), 'JOURNAL_UNSAFE');
      deepEqual((await readBack(subject)).records, [{ n: 0 }]);
    },
  },
  {
    title: 'a torn last line is dropped, wherever it was cut, and the writer goes on behind the last whole one',
    async run(subject) {
      await withLines(subject, 2);
      const whole = await subject.read();
      await withLines(subject, 3);
      const longer = await subject.read();
      const { head } = await readHeadOf(subject, whole);
      for (let bytes = whole.length + 1; bytes < longer.length; bytes += 1) {
        await subject.write(longer.subarray(0, bytes));
        deepEqual(await readBack(subject), { torn: true, head, records: [{ n: 0 }, { n: 1 }] });
      }
      const writer = await subject.open('write');
      equal(writer.torn, true);
      await writer.append({ n: 2 });
      await writer.close();
      deepEqual(await subject.read(), longer);
    },
  },
  {
    title: 'nothing of a torn line stays behind a shorter one',
    async run(subject) {
      await withLines(subject, 1);
      const long = Buffer.concat([await subject.read(), Buffer.from(`{"prev":"${'x'.repeat(500)}`)]);
      await subject.write(long);
      const writer = await subject.open('write');
      await writer.append({ n: 1 });
      await writer.close();
      const { torn, records } = await readBack(subject);
      deepEqual({ torn, records }, { torn: false, records: [{ n: 0 }, { n: 1 }] });
    },
  },
  {
    title: 'damage before the last line is JOURNAL_UNSAFE',
    async run(subject) {
      await withLines(subject, 3);
      const whole = await subject.read();
      const second = whole.indexOf('\n') + 1;
      for (const at of [2, second - 3, second + 12, second + 60]) {
        const damaged = Buffer.from(whole);
        damaged[at] = (damaged[at] ?? 0) ^ 1;
        await subject.write(damaged);
        await refuses(subject.open('read'), 'JOURNAL_UNSAFE');
        await refuses(subject.open('write'), 'JOURNAL_UNSAFE');
      }
    },
  },
  {
    title: 'a line that is missing, doubled or moved is JOURNAL_UNSAFE',
    async run(subject) {
      await withLines(subject, 3);
      const [a = '', b = '', c = ''] = (await subject.read()).toString().split(/(?<=\n)/);
      for (const lines of [
        [b, c],
        [a, c],
        [a, b, b, c],
        [b, a, c],
        [a, a],
      ]) {
        await subject.write(Buffer.from(lines.join('')));
        await refuses(subject.open('read'), 'JOURNAL_UNSAFE');
      }
    },
  },
  {
    title: 'a place that is not private is JOURNAL_UNSAFE',
    async run(subject) {
      await withLines(subject, 1);
      await subject.whileUnsafe(async () => {
        await refuses(subject.open('read'), 'JOURNAL_UNSAFE');
        await refuses(subject.open('write'), 'JOURNAL_UNSAFE');
      });
      await (await subject.open('write')).close();
    },
  },
];

async function readHeadOf(subject: JournalSubject, content: Buffer): Promise<{ head: string }> {
  await subject.write(content);
  return readBack(subject);
}
