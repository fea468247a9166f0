// TightVNC on Windows: its service, with its password in the registry, eight obfuscated bytes that anybody can turn back.
// They are a secret like the password itself, and go over standard input and output of a script alone.
//
// Not yet proven on a real Windows.

import { createHmac } from 'node:crypto';
import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { Secret } from '../../protocol/secret.ts';
import type { Processes } from '../ports/process.ts';
import type { Vnc, VncFile, VncServer, VncVerdict } from '../ports/vnc.ts';
import { runScript, type Script, type ScriptAnswer, ScriptTrouble } from './powershell.ts';
import { authenticateRfb } from './rfb.ts';
import { deobfuscate, effectiveBytes, obfuscate } from './vncauth.ts';
import { systemEnvironment, type WindowsHost } from './windows-host.ts';

const KEY = 'SOFTWARE\\TightVNC\\Server';
const SOURCE = `HKLM\\${KEY}\\Password`;
/** SYSTEM's own; Windows has no numbers for owners. */
const OWNER = { uid: 0, gid: 0 } as const;
const PROBE_ADDRESS = '127.88.0.1';
const FALLBACK_ADDRESS = '127.0.0.1';
const PROBE_TIMEOUT_MS = 5_000;
const QUIET_MS = 250;
/** Where it cannot reach its service it shows a window, which nobody can close here. */
const RELOAD_TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 65_536;

/** The service, the ports at which its own process listens, and what decides whether it asks for a password. */
const LIST = `
$service = Get-CimInstance -ClassName Win32_Service -Filter 'Name=''tvnserver'''
$running = ($service -ne $null) -and ($service.State -eq 'Running') -and ($service.ProcessId -gt 0)
$ports = @()
$program = $null
if ($running) {
  $ports = @(Get-NetTCPConnection -State Listen -OwningProcess $service.ProcessId -ErrorAction SilentlyContinue | ForEach-Object { [int]$_.LocalPort } | Sort-Object -Unique)
  $program = [string](Get-Process -Id $service.ProcessId).Path
}
$key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('${KEY}')
$settings = $null
if ($key -ne $null) {
  $settings = @{
    port = [int]$key.GetValue('RfbPort', 5900)
    asks = [int]$key.GetValue('UseVncAuthentication', 1) -ne 0
    loopback = ([int]$key.GetValue('AllowLoopback', 0) -ne 0) -or ([int]$key.GetValue('LoopbackOnly', 0) -ne 0)
  }
  $key.Close()
}
Answer @{ running = $running; program = $program; ports = $ports; settings = $settings }
`;

/** The value goes out beside the answer, never through a cmdlet. */
const READ = `
$key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('${KEY}')
$value = $null
if ($key -ne $null) { $value = $key.GetValue('Password'); $key.Close() }
if ($value -is [byte[]]) { $secretOut = $value }
Answer @{ there = ($value -is [byte[]]) }
`;

/** Written, flushed to the disk and read back. */
const WRITE = `
$key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('${KEY}', $true)
$key.SetValue('Password', [byte[]]$secret, [Microsoft.Win32.RegistryValueKind]::Binary)
$key.Flush()
$back = $key.GetValue('Password')
$key.Close()
Answer @{ written = [Linq.Enumerable]::SequenceEqual([byte[]]$secret, [byte[]]$back) }
`;

export const tightvncScripts = { LIST, READ, WRITE } as const;

const port = z.int().check(z.gte(1), z.lte(65_535));
const listed = z.strictObject({
  running: z.boolean(),
  program: z.nullable(z.string().check(z.maxLength(260))),
  ports: z.array(port).check(z.maxLength(64)),
  settings: z.nullable(z.strictObject({ port, asks: z.boolean(), loopback: z.boolean() })),
});
const read = z.strictObject({ there: z.boolean() });
const written = z.strictObject({ written: z.boolean() });

type Found = Readonly<{ server: VncServer; program: string | null }>;

export type VncTightvncWindowsOptions = Readonly<{
  processes: Processes;
  host: WindowsHost;
  macKey: Uint8Array;
  probeTimeoutMs?: number;
}>;

export function vncTightvncWindows(options: VncTightvncWindowsOptions): Vnc {
  const { processes, host } = options;

  async function ask<S extends z.core.$ZodType>(wanted: Script, schema: S) {
    try {
      const { value, secret }: ScriptAnswer = await runScript(processes, host, wanted);
      return { answer: parseSchema(schema, value), secret };
    } catch (error) {
      if (error instanceof ScriptTrouble) throw new Failure('VNC_FAILED', { reason: error.reason }, error);
      if (error instanceof Failure) throw new Failure('VNC_FAILED', { reason: 'script_answer' }, error);
      throw error;
    }
  }

  async function find(): Promise<Found | undefined> {
    const { answer } = await ask({ script: LIST }, listed);
    return answer.running ? foundOf(answer) : undefined;
  }

  async function findRunning({ id, owner }: VncServer): Promise<Found | undefined> {
    const found = await find();
    return found?.server.id === id && owner.uid === OWNER.uid ? found : undefined;
  }

  /** The caller's to wipe; `undefined` where there is none of the right size. */
  async function readStored(): Promise<Uint8Array | undefined> {
    const { answer, secret } = await ask({ script: READ }, read);
    if (answer.there !== (secret !== null)) throw new Failure('VNC_FAILED', { reason: 'script_answer' });
    return secret?.length === VNCAUTH_BYTES ? secret : undefined;
  }

  /** Throws where no new password would be obeyed; gives what is stored, which the caller wipes. */
  async function demand(server: VncServer, password: Secret | undefined): Promise<Uint8Array | undefined> {
    const source = (await findRunning(server))?.server.source ?? server.source;
    if (source !== SOURCE) throw new Failure('VNC_FAILED', { server: server.id, reason: 'source_unknown' });
    const stored = await readStored();
    if (password !== undefined && stored !== undefined && isStored(stored, password)) {
      stored.fill(0);
      throw new Failure('VNC_FAILED', { server: server.id, reason: 'unchanged' });
    }
    return stored;
  }

  async function handshake(server: VncServer, password: Uint8Array): Promise<VncVerdict> {
    const found = await findRunning(server);
    if (!found || found.server.port === null) return unknown('not_running');
    const wanted = {
      address: '127.0.0.1',
      port: found.server.port,
      timeoutMs: options.probeTimeoutMs ?? PROBE_TIMEOUT_MS,
      quietMs: QUIET_MS,
      // That the service itself listens there was looked up a moment ago; whose a connection is cannot be asked in time.
      isServer: () => true,
    };
    const credential = { user: undefined, password };
    const verdict = await authenticateRfb({ ...wanted, localAddress: PROBE_ADDRESS }, credential);
    if (verdict !== 'bind') return verdict;
    const again = await authenticateRfb({ ...wanted, localAddress: FALLBACK_ADDRESS }, credential);
    return again === 'bind' ? unknown('address') : again;
  }

  async function files(server: VncServer): Promise<readonly VncFile[]> {
    if (server.source === null) return [];
    const stored = await readStored();
    if (stored === undefined) return [];
    const hash = createHmac('sha256', options.macKey).update(stored).digest('base64url');
    stored.fill(0);
    return [{ role: 'source', path: SOURCE, hash }];
  }

  return {
    async list() {
      const found = await find();
      return found === undefined ? [] : [found.server];
    },
    files,
    async demandChangeable(server, password) {
      (await demand(server, password))?.fill(0);
    },
    async setPassword(server, password) {
      const stored = await demand(server, password);
      const bytes = password.revealBytes();
      const secret = obfuscate(bytes);
      try {
        const { answer } = await ask({ script: WRITE, secret }, written);
        if (!answer.written) throw new Failure('VNC_FAILED', { server: server.id, reason: 'read_back' });
        await reload((await findRunning(server))?.program ?? null, options);
        return { files: await files(server), previous: stored === undefined ? null : passwordOf(stored) };
      } finally {
        for (const each of [bytes, secret, stored]) each?.fill(0);
      }
    },
    // By consent or not: here the machine's own restart does it.
    restart: async () => 'unmanaged',
    async probe(server, password) {
      const bytes = password.revealBytes();
      try {
        return await handshake(server, bytes);
      } finally {
        bytes.fill(0);
      }
    },
    async probeStored(server) {
      const stored = await readStored().catch(() => undefined);
      if (stored === undefined) return unknown('unreadable');
      const bytes = deobfuscate(stored) ?? new Uint8Array();
      try {
        return await handshake(server, bytes);
      } finally {
        for (const each of [stored, bytes]) each.fill(0);
      }
    },
  };
}

function foundOf({ program, ports, settings }: z.infer<typeof listed>): Found {
  const asked = settings?.port ?? 5900;
  // TightVNC lets nobody in from the machine itself unless it is told to.
  const reachable = ports.includes(asked) && settings?.loopback === true;
  const server: VncServer = {
    id: `tightvnc:${asked}`,
    kind: 'vncauth',
    effective: VNCAUTH_BYTES,
    port: reachable ? asked : null,
    owner: OWNER,
    source: settings?.asks ? SOURCE : null,
  };
  return { server, program };
}

/** Asks the service to read its settings again. Whether it did is for a handshake to say; if not, the restart does it. */
async function reload(program: string | null, { processes, host }: VncTightvncWindowsOptions): Promise<void> {
  if (program === null || !/^[A-Za-z]:\\[^"]*\\tvnserver\.exe$/i.test(program)) return;
  const { output } = await processes.run(
    {
      program,
      args: ['-controlservice', '-reload'],
      env: systemEnvironment(host),
      cwd: `${host.systemRoot}\\System32`,
      timeoutMs: RELOAD_TIMEOUT_MS,
      outputBytesMax: OUTPUT_BYTES_MAX,
    },
    new Uint8Array(),
  );
  output.fill(0);
}

function isStored(stored: Uint8Array, password: Secret): boolean {
  const bytes = password.revealBytes();
  const wanted = effectiveBytes(bytes);
  const inForce = deobfuscate(stored) ?? new Uint8Array();
  const same = Buffer.from(inForce).equals(wanted);
  for (const each of [bytes, wanted, inForce]) each.fill(0);
  return same;
}

function passwordOf(stored: Uint8Array): Secret | null {
  const bytes = deobfuscate(stored) ?? new Uint8Array();
  const end = bytes.indexOf(0);
  const text = Uint8Array.from(end < 0 ? bytes : bytes.subarray(0, end));
  bytes.fill(0);
  return text.length === 0 ? null : Secret.ofBytes(text);
}

function unknown(reason: string): VncVerdict {
  return { verdict: 'unknown', reason };
}
