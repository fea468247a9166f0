// The last lines of a test run: what this machine could not do, by name and with the command that would enable it, and
// then one plain line of counts that people and scripts read.

import type { SerializedError } from 'vitest';
import type { Reporter, TestModule, TestSuite } from 'vitest/node';

type Counts = { passed: number; failed: number; skipped: number };

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const counts = count(modules, unhandled.length);
    if (counts.passed + counts.failed === 0) {
      console.log('\nNo test was run: that is a failure.');
      process.exitCode = 1;
    }
    if (counts.failed > 0) process.exitCode = 1;
    for (const line of unavailableLines(modules)) console.log(line);
    console.log(`\n${summary(counts)}`);
  }
}

export function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** Tests by outcome. What breaks outside a test (an import, a hook, a stray rejection) counts as a failure as well. */
export function count(modules: readonly TestModule[], unhandled: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandled, skipped: 0 };
  for (const module of modules) {
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed += 1;
      else if (state === 'skipped') counts.skipped += 1;
      else counts.failed += 1;
    }
    counts.failed += module.errors().length;
    for (const suite of module.children.allSuites()) counts.failed += (suite as TestSuite).errors().length;
  }
  return counts;
}

/** Skipped tests grouped by what they lack, in the words of `unavailable` in test/requirements.ts. */
function unavailableLines(modules: readonly TestModule[]): string[] {
  const tests = new Map<string, string[]>();
  for (const module of modules) {
    for (const test of module.children.allTests('skipped')) {
      const result = test.result();
      const note = (result.state === 'skipped' && result.note) || 'no reason was given';
      tests.set(note, [...(tests.get(note) ?? []), `${module.relativeModuleId} > ${test.fullName}`]);
    }
  }
  if (tests.size === 0) return [];
  const lines = ['\nNot run on this machine (LATCHKEY_TEST_REQUIRE=all makes these failures):'];
  for (const [note, names] of [...tests].sort()) lines.push(`  ${note}`, ...names.map((name) => `    ${name}`));
  return lines;
}
