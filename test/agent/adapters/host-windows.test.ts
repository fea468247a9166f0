// What a Windows machine says of itself and who may reach a folder there, against written answers; and what stands in for the
// kernel's randomness and for a journal's lock on a system that has neither as Linux has them.

import { existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { accessFault } from '../../../agent/adapters/access-list.ts';
import { demandAccess, hostScripts, hostWindows } from '../../../agent/adapters/host-windows.ts';
import { inspectionWindows } from '../../../agent/adapters/inspection-windows.ts';
import { installationScripts, installationWindows } from '../../../agent/adapters/installation-windows.ts';
import { openJournalFile } from '../../../agent/adapters/journal-file.ts';
import { keeperByAccessList } from '../../../agent/adapters/journal-keeper.ts';
import { randomFreshProcess } from '../../../agent/adapters/random-fresh-process.ts';
import { Failure } from '../../../protocol/failure.ts';
import { hostFile } from '../windows/exchanges.ts';
import { HOST } from '../windows/processes-scripted.ts';
import { WholeWindows } from '../windows/whole-windows.ts';

const FOLDER = 'C:\\ProgramData\\latchkey-agent';

describe('who may reach a folder of Windows', () => {
  describe.each(Object.entries(hostFile.access))('%s', (name, { source, answer, ...faults }) => {
    it.each(['closed', 'unwritable'] as const)(`where it must be %s`, async (demand) => {
      expect(source.length).toBeGreaterThan(5);
      const whole = new WholeWindows();
      whole.accessOf = () => name;
      const asked = demandAccess({ processes: whole.processes, host: HOST }, FOLDER, demand).then(
        () => undefined,
        (error: unknown) => (error instanceof Failure ? [error.code, error.details['reason']] : error),
      );
      expect(await asked).toEqual(faults[demand] && ['JOURNAL_UNSAFE', faults[demand]]);
    });
  });
  it.each(['0x1f01ff', '0x1200aa', '0x2', 'FA', 'FRWD', 'FRS', 'GRGW', '', '0x1200a9 '])(
    'rights beyond reading and running are seen: %s',
    (rights) => {
      const fault = accessFault(`O:BAD:(A;;FA;;;SY)(A;;${rights};;;BU)`, 'unwritable');
      expect(fault).toBe(rights === '' ? undefined : 'access_list');
    },
  );
});

describe('a Windows machine', () => {
  it('is told by its MachineGuid and its platform’s UUID', async () => {
    const whole = new WholeWindows();
    const host = hostWindows({ processes: whole.processes, host: HOST });
    expect(await host.machine()).toEqual(hostFile.machines['one']?.answer);
    expect(await host.bootId()).toBe(whole.boot);
    expect(await host.processStart(4)).toMatch(/^[0-9]+$/);
    expect(await host.linkOwner()).toBeNull();
  });
  it('that gives no answer is an error with a code, and no machine', async () => {
    const whole = new WholeWindows();
    whole.machine = 'damaged';
    const host = hostWindows({ processes: whole.processes, host: HOST });
    await expect(host.machine()).rejects.toMatchObject({ code: 'ENV_REFUSED', details: { reason: 'script_answer' } });
  });
  it('is never called proven', async () => {
    const inspection = inspectionWindows({ processes: new WholeWindows().processes, host: HOST, state: tmpdir() });
    expect(await inspection.platform()).toEqual({ system: 'Windows', proven: false });
  });
  it('without net.exe has no password program and no terminal to run it on', async () => {
    const whole = new WholeWindows();
    whole.accounts.netExe = 'missing';
    const inspection = inspectionWindows({ processes: whole.processes, host: HOST, state: join(tmpdir(), 'absent') });
    expect([await inspection.passwordProgram(), await inspection.terminal()]).toEqual([null, false]);
    expect(await inspection.storage()).toEqual([
      { place: join(tmpdir(), 'absent'), holds: 'journal', writable: null, freeBytes: null },
    ]);
  });
});

describe('setting up on Windows', () => {
  it.each([
    ['a folder that somebody made before', { accessOf: () => 'of_somebody' }, 'JOURNAL_UNSAFE', 'owner'],
    ['a scheduler that takes no task', { scheduler: 'refuses' as const }, 'INSTALL_FAILED', 'task'],
  ])('fails with a code at %s', async (_, wish, code, reason) => {
    const whole = Object.assign(new WholeWindows(), wish);
    const installation = installationWindows({ processes: whole.processes, host: HOST });
    const install = async () => {
      await installation.makeFolder(FOLDER);
      await installation.register({ program: 'node.exe', args: ['main.js', 'run'] });
    };
    await expect(install()).rejects.toMatchObject({ code, details: { reason } });
    expect(whole.task).toBeNull();
  });
  it('writes signs of a path that XML has its own ideas about so that they are none', async () => {
    const whole = new WholeWindows();
    const installation = installationWindows({ processes: whole.processes, host: HOST });
    await installation.register({ program: 'C:\\R&D\\<a>\\node.exe', args: ["C:\\it's\\main.js", 'run'] });
    expect(whole.task?.xml).toContain('<Command>&#34;C:\\R&#38;D\\&#60;a&#62;\\node.exe&#34;</Command>');
    expect(whole.task?.xml).toContain('<Arguments>&#34;C:\\it&#39;s\\main.js&#34; run</Arguments>');
  });
  it('is taken away, and says whether there was anything', async () => {
    const whole = new WholeWindows();
    const installation = installationWindows({ processes: whole.processes, host: HOST });
    await installation.register({ program: 'node.exe', args: ['main.js', 'run'] });
    expect([await installation.remove(), whole.task, await installation.remove()]).toEqual([true, null, false]);
  });
});

describe('randomness of a fresh process', () => {
  it('is of the wanted length, never the same, and more than a mistake would ask for is refused', () => {
    const random = randomFreshProcess({ PATH: '' });
    const [one, other] = [random.bytes(32), random.bytes(32)];
    expect([one.length, random.bytes(0).length]).toEqual([32, 0]);
    expect(Buffer.from(one).equals(other)).toBe(false);
    for (const count of [-1, 1.5, Number.NaN, 65_537]) expect(() => random.bytes(count)).toThrow(RangeError);
  });
  it('is none where the process cannot be run', () => {
    expect(() => randomFreshProcess({}, '/dev/null').bytes(1)).toThrow();
  });
});

describe('a journal that is kept by its folder’s access list', () => {
  /** As Windows opens a file exclusively: the second time is EBUSY until the first is closed. */
  function aloneOpener() {
    return (path: string): number => {
      try {
        return openSync(path, 'wx');
      } catch (error) {
        throw Object.assign(new Error('busy'), { code: (error as { code: string }).code === 'EEXIST' ? 'EBUSY' : '' });
      }
    };
  }
  function folderWith(demandPrivate: () => Promise<void> = async () => {}) {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-journal-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const keeper = keeperByAccessList({ demandPrivate, openAlone: aloneOpener() });
    return { folder, keeper };
  }
  it('keeps its lines, whatever modes its files have, and reads them again', async () => {
    const { folder, keeper } = folderWith();
    writeFileSync(join(folder, 'journal.jsonl'), '', { mode: 0o666 });
    const journal = await openJournalFile({ folder, keeper, mode: 'write' });
    await journal.append({ kind: 'one' });
    const read = await openJournalFile({ folder, keeper, mode: 'read' });
    expect([read.records(), read.head()]).toEqual([[{ kind: 'one' }], journal.head()]);
    await journal.close();
  });
  it('has one writer at a time: BUSY', async () => {
    const { folder, keeper } = folderWith();
    const journal = await openJournalFile({ folder, keeper, mode: 'write' });
    await expect(openJournalFile({ folder, keeper, mode: 'write' })).rejects.toMatchObject({ code: 'BUSY' });
    await journal.close();
  });
  it('is not opened at all where others can reach the folder', async () => {
    const { folder, keeper } = folderWith(async () => {
      throw new Failure('JOURNAL_UNSAFE', { reason: 'access_list' });
    });
    for (const mode of ['read', 'write'] as const)
      await expect(openJournalFile({ folder, keeper, mode })).rejects.toMatchObject({ code: 'JOURNAL_UNSAFE' });
    expect(existsSync(join(folder, 'writer.lock'))).toBe(false);
  });
});

it.each(Object.entries({ ...hostScripts, ...installationScripts }))(
  'the script %s has no quotation mark for a command line to trip over',
  (_, script) => {
    expect(script).not.toContain('"');
  },
);
