// Power and environment of Windows against written exchanges: the same contracts as on Linux, and what only Windows has.

import { deepEqual, equal, fail } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  environmentScripts,
  environmentWindows,
  readBootIdWindows,
} from '../../../agent/adapters/environment-windows.ts';
import { powerScripts, powerWindows } from '../../../agent/adapters/power-windows.ts';
import { environmentFault } from '../../../agent/core/environment.ts';
import type { Processes } from '../../../agent/ports/process.ts';
import { type EnvironmentOddity, environmentRules } from '../contracts/environment.ts';
import { powerRules } from '../contracts/power.ts';
import { environmentFile, shutdownFile } from '../windows/exchanges.ts';
import {
  answerOf,
  assertPlain,
  HOST,
  inputOf,
  noProcesses,
  SYSTEM_ROOT,
  scriptOf,
} from '../windows/processes-scripted.ts';

/** A machine that restarts as `ends` says. */
function powered({ ends = 'accepted', system = true, there = true } = {}) {
  const said: string[] = [];
  const processes: Processes = {
    ...noProcesses,
    run: async (program, input) => {
      assertPlain(program);
      const output = Buffer.alloc(0);
      if (program.program === `${SYSTEM_ROOT}\\System32\\shutdown.exe`) {
        deepEqual([program.args, input.length], [['/r', '/t', '0', '/d', 'p:2:4'], 0]);
        if (!there) return { ending: 'missing', status: null, output };
        const { status } = shutdownFile.exchanges[ends] ?? fail(`no exchange ${ends}`);
        return status === 'hangs' ? { ending: 'timeout', status: null, output } : { ending: 'exited', status, output };
      }
      if (program.program === `${SYSTEM_ROOT}\\System32\\msg.exe`) {
        deepEqual(program.args, ['*', '/TIME:60']);
        said.push(Buffer.from(input).toString('latin1'));
        return { ending: 'missing', status: null, output };
      }
      equal(scriptOf(program).endsWith(powerScripts.LOOK), true);
      deepEqual(inputOf(input), { request: {}, secret: null });
      return { ending: 'exited', status: 0, output: answerOf({ system, program: there }) };
    },
  };
  return { power: powerWindows({ processes, host: HOST }), said };
}

describe('Windows power keeps the contract, by written exchanges', () => {
  for (const rule of powerRules.filter(({ of }) => of !== 'linux')) {
    it(rule.title, () =>
      rule.run({ power: (kind) => powered({ there: kind === 'normal' }).power, reason: 'shutdown_missing' }),
    );
  }
});

describe('a restart of Windows', () => {
  it.each([
    ['denied', 'permission'],
    ['privilege', 'permission'],
    ['scheduled', 'shutdown_scheduled'],
    ['users_signed_in', 'users_signed_in'],
    ['unknown', 'exit_4711'],
    ['hangs', 'timeout'],
  ])('%s is REBOOT_DENIED: %s', async (ends, reason) => {
    await expect(powered({ ends }).power.reboot()).rejects.toMatchObject({
      code: 'REBOOT_DENIED',
      details: { reason },
    });
  });
  it.each(['accepted', 'in_progress'])('%s is a restart that comes', async (ends) => {
    await powered({ ends }).power.reboot();
  });
  it('is not there for anybody but SYSTEM', async () => {
    await expect(powered({ system: false }).power.available()).rejects.toMatchObject({
      code: 'REBOOT_DENIED',
      details: { reason: 'permission' },
    });
  });
  it('is announced in plain signs, on standard input', async () => {
    const { power, said } = powered();
    await power.warn('Die Maschine fährt neu hoch.\u001b[2J');
    expect(said).toEqual(['Die Maschine f hrt neu hoch. [2J']);
  });
});

const BOOT = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const REMEMBERED = 'remembered-since-enrolment';

function observed({ state = 'normal', marker = REMEMBERED as string | null, output = null as Buffer | null } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-windows-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const markerPath = join(folder, 'root-marker');
  if (marker !== null) writeFileSync(markerPath, marker);
  const { answer } = environmentFile.exchanges[state] ?? fail(`no exchange ${state}`);
  const normal = environmentFile.exchanges['normal']?.answer;
  const processes: Processes = {
    ...noProcesses,
    run: async (program, input) => {
      assertPlain(program);
      deepEqual(inputOf(input), { request: {}, secret: null });
      const script = scriptOf(program);
      const alone = script.endsWith(environmentScripts.BOOT_ONLY);
      equal(alone || script.endsWith(environmentScripts.OBSERVE), true);
      const value = alone ? { boot: BOOT } : { boot: BOOT, ...normal, ...answer };
      return { ending: 'exited', status: 0, output: output ?? answerOf(value) };
    },
  };
  return { processes, environment: environmentWindows({ processes, host: HOST, markerPath, marker: REMEMBERED }) };
}

const markers: Partial<Record<EnvironmentOddity, string | null>> = { other_marker: 'another', no_marker: null };

describe('the Windows environment keeps the contract, by written exchanges', () => {
  for (const rule of environmentRules.filter(({ of }) => of !== 'linux')) {
    it(rule.title, () =>
      rule.run({
        during: (oddity, act) => {
          const marker = oddity === null ? REMEMBERED : markers[oddity];
          if (marker === undefined) throw new Error(`no ${oddity} on Windows`);
          return act(observed({ marker }).environment);
        },
      }),
    );
  }
});

describe('the Windows environment', () => {
  it.each(Object.entries(environmentFile.exchanges))('%s is judged by what it is', async (state, { fault }) => {
    expect(environmentFault(await observed({ state }).environment.observe())).toBe(fault);
  });
  it('has one boot id for whoever asks', async () => {
    const { processes, environment } = observed();
    expect(await readBootIdWindows(processes, HOST)).toBe((await environment.observe()).bootId);
  });
  it.each([
    ['nothing', ''],
    ['no boot', '{"safeMode":false}\n'],
    ['a boot that is none', JSON.stringify({ boot: '', ...environmentFile.exchanges['normal']?.answer })],
  ])('is refused where it cannot be told: %s', async (_, text) => {
    await expect(observed({ output: Buffer.from(text) }).environment.observe()).rejects.toMatchObject({
      code: 'ENV_REFUSED',
      details: { reason: 'script_answer' },
    });
  });
});

it.each(Object.entries({ ...environmentScripts, ...powerScripts }))(
  'the script %s has no quotation mark for a command line to trip over',
  (_, script) => {
    expect(script).not.toContain('"');
  },
);
