// The journal on a real disk: the port's contract, and what only files can get wrong.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { JOURNAL_NAME, openJournalFile } from '../../../agent/adapters/journal-file.ts';
import { lockWriter } from '../../../agent/adapters/journal-lock.ts';
import { procAt } from '../../../agent/adapters/proc.ts';
import type { Journal } from '../../../agent/ports/journal.ts';
import { refuses } from '../contracts/contract.ts';
import { type JournalSubject, journalRules } from '../contracts/journal.ts';

const base = mkdtempSync(join(tmpdir(), 'latchkey-journal-'));
const owner = process.getuid?.() ?? 0;
let made = 0;

afterAll(() => rmSync(base, { recursive: true }));

function newFolder(): string {
  made += 1;
  const folder = join(base, `executor-${made}`);
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

const open = (folder: string, mode: 'read' | 'write' = 'write', bytesMax?: number): Promise<Journal> =>
  openJournalFile({ folder, mode, owner, ...(bytesMax === undefined ? {} : { bytesMax }) });

function subject(): JournalSubject {
  const folder = newFolder();
  const file = join(folder, JOURNAL_NAME);
  return {
    async clear() {
      rmSync(file, { force: true });
    },
    open: (mode) => open(folder, mode),
    read: async () => readFileSync(file),
    async write(content) {
      writeFileSync(file, content, { mode: 0o600 });
    },
    async whileUnsafe(act) {
      chmodSync(folder, 0o750);
      await act();
      chmodSync(folder, 0o700);
    },
  };
}

describe('the journal file keeps the contract', () => {
  for (const rule of journalRules) it(rule.title, () => rule.run(subject()));
});

describe('the journal file', () => {
  it('is private from its first moment', async () => {
    const folder = newFolder();
    await (await open(folder)).close();
    expect(statSync(join(folder, JOURNAL_NAME)).mode & 0o777).toBe(0o600);
  });

  it('is refused when it is another’s, readable by others, a link, or known by a second name', async () => {
    const folder = newFolder();
    const file = join(folder, JOURNAL_NAME);
    await (await open(folder)).close();
    await refuses(openJournalFile({ folder, mode: 'read', owner: owner + 1 }), 'JOURNAL_UNSAFE', 'owner');
    chmodSync(file, 0o640);
    await refuses(open(folder), 'JOURNAL_UNSAFE', 'mode');
    chmodSync(file, 0o600);
    linkSync(file, join(folder, 'other'));
    await refuses(open(folder), 'JOURNAL_UNSAFE', 'not_a_file');
    rmSync(file);
    symlinkSync(join(folder, 'other'), file);
    await refuses(open(folder), 'JOURNAL_UNSAFE', 'symlink');
  });

  it('is refused in a folder that is a link, is not there, or lies where others may write', async () => {
    const folder = newFolder();
    const link = join(base, `link-${made}`);
    symlinkSync(folder, link);
    await refuses(open(link), 'JOURNAL_UNSAFE', 'symlink');
    await refuses(open(join(base, 'nowhere')), 'JOURNAL_UNSAFE', 'folder_missing');
    const inner = join(folder, 'inner');
    mkdirSync(inner, { mode: 0o700 });
    chmodSync(folder, 0o1777);
    await refuses(open(inner), 'JOURNAL_UNSAFE', 'parent_writable');
  });

  it('adds nothing when it has no room left, and goes on when the next line fits', async () => {
    const folder = newFolder();
    const journal = await open(folder, 'write', 200);
    await journal.append({ n: 1 });
    const [head, bytes] = [journal.head(), readFileSync(join(folder, JOURNAL_NAME))];
    await refuses(journal.append({ text: 'x'.repeat(200) }), 'DISK_FULL');
    expect(journal.head()).toBe(head);
    expect(readFileSync(join(folder, JOURNAL_NAME))).toEqual(bytes);
    await journal.append({ n: 2 });
    expect(journal.records()).toEqual([{ n: 1 }, { n: 2 }]);
    await journal.close();
  });

  it('is refused when it has grown beyond its bound', async () => {
    const folder = newFolder();
    const journal = await open(folder);
    await journal.append({ text: 'x'.repeat(300) });
    await journal.close();
    await refuses(open(folder, 'read', 200), 'JOURNAL_UNSAFE', 'size');
  });

  it('takes a last line whose bytes never came for a torn one', async () => {
    const folder = newFolder();
    const journal = await open(folder);
    await journal.append({ n: 1 });
    await journal.close();
    const file = join(folder, JOURNAL_NAME);
    writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(40)]));
    const again = await open(folder);
    expect({ torn: again.torn, records: again.records() }).toEqual({ torn: true, records: [{ n: 1 }] });
    await again.close();
  });
});

describe('the writer’s lock', () => {
  const inProcess = new URL('./journal-holder.ts', import.meta.url).pathname;

  async function holder(folder: string): Promise<{ end(): Promise<void>; words: string }> {
    const child = spawn(process.execPath, [inProcess, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [words] = (await once(child.stdout, 'data')) as [Buffer];
    const ended = once(child, 'exit');
    return {
      words: words.toString().trim(),
      async end() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  it('is released by the death of its holder', async () => {
    const folder = newFolder();
    const other = await holder(folder);
    expect(other.words).toBe('held');
    await refuses(open(folder), 'BUSY');
    await other.end();
    await (await open(folder)).close();
  });

  it('of an earlier boot binds nobody', () => {
    const folder = newFolder();
    lockWriter({ folder, bootId: () => 'one' });
    expect(() => lockWriter({ folder, bootId: () => 'one' })).toThrow();
    lockWriter({ folder, bootId: () => 'two' });
  });

  it('of a process number that another process has now binds nobody', () => {
    const folder = newFolder();
    const release = lockWriter({ folder });
    const [name = ''] = readdirSync(folder);
    const held = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    release();
    writeFileSync(join(folder, name), JSON.stringify({ ...held, start: '1' }));
    lockWriter({ folder });
  });

  it('goes to one of several who come at once to a dead one, every time', async () => {
    for (let round = 0; round < 3; round += 1) {
      const folder = newFolder();
      lockWriter({ folder, bootId: () => 'earlier' });
      const all = await Promise.all([1, 2, 3, 4].map(() => holder(folder)));
      expect(all.map(({ words }) => words).sort()).toEqual(['BUSY', 'BUSY', 'BUSY', 'held']);
      await Promise.all(all.map((each) => each.end()));
    }
  });

  it('is not taken back by one who comes late to a number that was in use before', () => {
    const folder = newFolder();
    lockWriter({ folder, bootId: () => 'one' })();
    // As if this process had looked before the others took, left and removed the numbers after it.
    renameSync(join(folder, 'writer.1'), join(folder, 'writer.9'));
    writeFileSync(join(folder, 'writer.5'), '');
    const release = lockWriter({ folder, bootId: () => 'one' });
    expect(readdirSync(folder)).toEqual(['writer.10']);
    release();
  });

  it('is given up by one who made a number below another’s', () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'writer.1'), JSON.stringify({ pid: 2 ** 30, start: '1', boot: 'one' }));
    const others = procAt();
    // While this process looks whether the holder lives, another takes 2, lets go, and a third takes 3.
    const startTime = (pid: number): string | undefined => {
      if (pid !== process.pid) renameSync(join(folder, 'writer.1'), join(folder, 'writer.3'));
      return others.startTime(process.pid === pid ? pid : 2 ** 30);
    };
    expect(() => lockWriter({ folder, bootId: () => 'one', proc: { ...others, startTime } })).toThrow();
    expect(readdirSync(folder)).toEqual(['writer.3']);
  });
});
