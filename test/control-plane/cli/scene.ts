// What each test of the client needs: a scripted server, an empty state folder, a client on both, and an observer that
// records. Everything is gone when the test ends.

import { type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { connectApi } from '../../../control-plane/cli/client/api.ts';
import type { Client } from '../../../control-plane/cli/client/client.ts';
import type { ResetEvent, ResetObserver, ResetRequest } from '../../../control-plane/cli/reset/request.ts';
import { toBase64url } from '../../../protocol/keys.ts';
import { Secret } from '../../../protocol/secret.ts';
import { countingBytes, keys } from '../../protocol/samples.ts';
import type { Script } from './scripted-machine.ts';
import { API_KEY, type ScriptedServer, startScriptedServer } from './scripted-server.ts';

export type Scene = Readonly<{ server: ScriptedServer; client: Client; folder: string }>;

export const ACCOUNT_RESET: ResetRequest = {
  vm: 'web-1',
  account: { name: null, mode: 'generated', unlock: false },
  graceS: 0,
};

export const TYPED_RESET: ResetRequest = { ...ACCOUNT_RESET, account: { name: null, mode: 'typed', unlock: false } };
export const vncauth = { server: 'tigervnc:5901', kind: 'vncauth', effective: 8 } as const;

export async function scene(script: Partial<Script> = {}): Promise<Scene> {
  const server = await startScriptedServer(script);
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-cli-'));
  onTestFinished(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  const client: Client = {
    api: connectApi({ url: new URL(server.url), apiKey: Secret.ofText(API_KEY) }),
    stateFolder: join(folder, 'state'),
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
    now: () => new Date(),
  };
  return { server, client, folder };
}

/** Says yes, and proves with a key. */
export function observer(changes: Partial<ResetObserver> = {}): ResetObserver & { events: ResetEvent[] } {
  const events: ResetEvent[] = [];
  return {
    events,
    onEvent: (event) => events.push(event),
    confirm: async () => true,
    typedSecret: async () => Secret.ofText('Artificial-1'),
    prove: async () => ({ method: 'key', key: keys.spare }),
    retryProof: false,
    ...changes,
  };
}

export type Run = Readonly<{ code: number | null; stdout: string; stderr: string; json: Record<string, unknown>[] }>;

/** `interruptAt`: Ctrl-C as soon as this was printed. */
type RunOptions = { input?: string; env?: Record<string, string>; interruptAt?: string };

/** Runs the program as a process of its own against the scene's server. */
export function latchkey(
  { server, folder }: Scene,
  parameters: readonly string[],
  { input = '', env = {}, interruptAt }: RunOptions = {},
): Promise<Run> {
  const apiKeyFile = join(folder, 'api-key');
  writeFileSync(apiKeyFile, `${API_KEY}\n`, { mode: 0o600 });
  const options: SpawnOptions = {
    env: {
      PATH: process.env['PATH'],
      LATCHKEY_URL: server.url,
      LATCHKEY_API_KEY_FILE: apiKeyFile,
      LATCHKEY_DATA: join(folder, 'data'),
      LATCHKEY_STATE: join(folder, 'state'),
      ...env,
    },
    stdio: 'pipe',
  };
  const child = spawn(process.execPath, [join(import.meta.dirname, 'program.ts'), ...parameters], options);
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
    if (interruptAt !== undefined && stdout.includes(interruptAt)) child.kill('SIGINT');
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin?.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr, json: jsonLines(stdout) }));
  });
}

function jsonLines(text: string): Record<string, unknown>[] {
  if (!text.startsWith('{')) return [];
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The private key of `keys.spare` as the file that `--key-file` takes. */
export function keyFile({ folder }: Scene, mode = 0o600): string {
  const path = join(folder, 'operator.jwk');
  writeFileSync(path, JSON.stringify({ ...keys.spare.jwk, d: toBase64url(countingBytes(0x30)) }), { mode });
  return path;
}
