// The password program of a lab guest and others that stand in its place. Never runs outside a guest.

import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';

/** What a false program was given. */
export const GIVEN = '/run/given';
export const PROGRAM = '/usr/bin/passwd';

/** Puts things back as they were. */
export type End = () => void | Promise<void>;

export function run(program: string, args: readonly string[], input = ''): void {
  execFileSync(program, args, { input, stdio: ['pipe', 'ignore', 'pipe'] });
}

export function replaceProgram(script: string): End {
  const original = `${PROGRAM}.away`;
  run('mv', [PROGRAM, original]);
  writeFileSync(PROGRAM, `#!/bin/sh\n${script}\n`);
  chmodSync(PROGRAM, 0o755);
  return () => run('mv', [original, PROGRAM]);
}
