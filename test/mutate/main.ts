// `npm run test:mutate [-- WORD | FROM-TO]`: drops each step of the authorisation in turn, in a copy of the sources, and reports
// which tests noticed. A step that no test misses ends the run with 1. With WORD only steps whose name holds it are dropped (the
// name begins with who takes the step: `signer / command`), and with FROM-TO (`34-50`) only those, counted from 1.

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Mutation } from './mutation.ts';
import { steps, testsOf } from './steps.ts';

const ROOT = join(import.meta.dirname, '../..');
/** A test that waits for a refusal which does not come has noticed as well. */
const PATIENCE_MS = 20_000;
/** Enough to know that it was noticed, and by whom. */
const FAILURES_MAX = 3;

type Report = Readonly<{
  testResults: readonly { assertionResults: readonly { status: string; fullName: string }[] }[];
}>;

const chosen = choose(process.argv[2] ?? '');
const copy = copySources();
let unnoticed = 0;
try {
  for (const [tests, those] of Map.groupBy(chosen, ({ file }) => (testsOf[file] ?? []).join(' ')))
    await dropEach(those, tests.split(' '));
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length} of ${steps.length} steps dropped; ${unnoticed} went unnoticed`);
process.exitCode = unnoticed > 0 ? 1 : 0;

function choose(wanted: string): readonly Mutation[] {
  const range = /^(\d+)-(\d+)$/.exec(wanted);
  const found = range
    ? steps.slice(Number(range[1]) - 1, Number(range[2]))
    : steps.filter(({ step }) => step.includes(wanted));
  if (found.length === 0) throw new Error(`no step is called or counted ${wanted}`);
  return found;
}

/** One after the other, each with all others in place. */
async function dropEach(those: readonly Mutation[], tests: readonly string[]): Promise<void> {
  const before = await failing(tests);
  if (before.length > 0) throw new Error(`the tests fail as they are: ${before.join('; ')}`);
  for (const mutation of those) {
    const noticed = await without(mutation, tests);
    if (noticed.length === 0) unnoticed += 1;
    console.log(`${noticed.length > 0 ? 'noticed  ' : 'UNNOTICED'} ${mutation.step}`);
    for (const test of noticed.slice(0, FAILURES_MAX)) console.log(`            ${test}`);
  }
}

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

async function without({ file, words, instead }: Mutation, tests: readonly string[]): Promise<string[]> {
  const path = join(copy, file);
  const whole = readFileSync(path, 'utf8');
  if (whole.split(words).length !== 2) throw new Error(`these words stand not exactly once in ${file}: ${words}`);
  writeFileSync(
    path,
    whole.replace(words, () => instead),
  );
  try {
    return await failing(tests);
  } finally {
    writeFileSync(path, whole);
  }
}

/** The names of those tests that fail in the copy; what does not even load has been noticed, too. */
async function failing(tests: readonly string[]): Promise<string[]> {
  const output = join(copy, 'report.json');
  rmSync(output, { force: true });
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = [
    '--project',
    'unit',
    `--testTimeout=${PATIENCE_MS}`,
    `--bail=${FAILURES_MAX}`,
    '--reporter=json',
    `--outputFile=${output}`,
  ];
  const child = spawn(process.execPath, [vitest, 'run', ...options, ...tests], { cwd: copy, stdio: 'ignore' });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const { testResults } = JSON.parse(readFileSync(output, 'utf8')) as Report;
  const names = testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName),
  );
  return names.length === 0 && code !== 0 ? ['(a test file does not load)'] : names;
}
