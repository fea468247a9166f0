// `npm run test:mutate [-- WORD]`: drops each step of the authorisation in turn, in a copy of the sources, and reports which
// tests noticed. A step that no test misses ends the run with 1; with WORD, only steps whose name holds it are dropped.

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Mutation, mutations } from './steps.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Where a step's absence must show. */
const TESTS = ['test/protocol', 'test/agent/core', 'test/agent/executor', 'test/agent/root-shelf.test.ts'];
/** Enough to know that it was noticed, and by whom. */
const FAILURES_MAX = 3;

type Report = Readonly<{
  testResults: readonly { assertionResults: readonly { status: string; fullName: string }[] }[];
}>;

const wanted = process.argv[2] ?? '';
const copy = copySources();
let unnoticed = 0;
try {
  const before = await failing(copy);
  if (before.length > 0) throw new Error(`the tests fail as they are: ${before.join('; ')}`);
  for (const mutation of mutations.filter(({ step }) => step.includes(wanted))) {
    const noticed = await without(mutation);
    if (noticed.length === 0) unnoticed += 1;
    console.log(`${noticed.length > 0 ? 'noticed ' : 'UNNOTICED'} ${mutation.step}`);
    for (const name of noticed.slice(0, FAILURES_MAX)) console.log(`           ${name}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${mutations.length} steps; ${unnoticed} of those dropped went unnoticed`);
process.exitCode = unnoticed > 0 ? 1 : 0;

function copySources(): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-mutate-'));
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  for (const path of listed.toString().trim().split('\n')) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(ROOT, path), join(folder, path));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function without({ file, words, instead }: Mutation): Promise<string[]> {
  const path = join(copy, file);
  const whole = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    whole.replace(words, () => instead),
  );
  try {
    return await failing(copy);
  } finally {
    writeFileSync(path, whole);
  }
}

/** The names of tests that fail in that copy; what does not even load has been noticed, too. */
async function failing(folder: string): Promise<string[]> {
  const output = join(folder, 'report.json');
  rmSync(output, { force: true });
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = ['--project', 'unit', `--bail=${FAILURES_MAX}`, '--reporter=json', `--outputFile=${output}`];
  const child = spawn(process.execPath, [vitest, 'run', ...options, ...TESTS], { cwd: folder, stdio: 'ignore' });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const { testResults } = JSON.parse(readFileSync(output, 'utf8')) as Report;
  const names = testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
  );
  return names.length === 0 && code !== 0 ? ['(a test file does not load)'] : names;
}
