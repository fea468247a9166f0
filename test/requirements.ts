// What a test needs and this machine may not have. A test that cannot run says so by name, with the command that would
// enable it; where everything must run (LATCHKEY_TEST_REQUIRE=all) it fails instead. It must never pass in silence.
import type { TestContext } from 'vitest';

/** Ends the running test: skipped with its reason, or failed where skips are failures. */
export function unavailable(context: Pick<TestContext, 'skip'>, name: string, command: string): never {
  const reason = `${name}: ${command}`;
  if (process.env.LATCHKEY_TEST_REQUIRE === 'all') throw new Error(`unavailable on this machine: ${reason}`);
  return context.skip(reason);
}
