// The whole command line as a child process.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../../control-plane/main.ts');

export type Run = Readonly<{ code: number | null; stdout: string; stderr: string; json: Record<string, unknown>[] }>;

export const spawnMain = (parameters: readonly string[], env: NodeJS.ProcessEnv): ChildProcess =>
  spawn(process.execPath, [MAIN, ...parameters], { env, stdio: 'pipe' });

export function collect(child: ChildProcess, input = ''): Promise<Run> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      const lines = stdout.startsWith('{') ? stdout.trim().split('\n') : [];
      resolve({ code, stdout, stderr, json: lines.map((line) => JSON.parse(line) as Record<string, unknown>) });
    });
  });
}
