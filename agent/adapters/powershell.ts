// Windows PowerShell as the way to what Windows tells through its libraries alone. Scripts are constants of this program;
// what varies, names and secrets, comes over standard input and never becomes a part of a script, an argument or the
// environment.
//
// A script's first line of input is a request in JSON, its second a secret in base64; its output has the same two lines. A
// script takes the secret through .NET calls and never through a cmdlet's parameters: Windows can be told to log those.

import type { Processes, Program } from '../ports/process.ts';
import type { WindowsHost } from './windows-host.ts';

/** A machine that was just started takes its time over the first one. */
const SCRIPT_TIMEOUT_MS = 60_000;
const ANSWER_BYTES_MAX = 1_048_576;
const SWITCHES = ['-NoLogo', '-NoProfile', '-NonInteractive', '-InputFormat', 'Text', '-OutputFormat', 'Text'];

/**
 * `$request` and `$secret` are what was asked. `Answer` says its argument, and beside it the bytes of `$secretOut`, which is
 * a variable because parameters of functions can be logged as well. It is called once.
 */
const PREAMBLE = `
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$lines = @($input)
$request = if ($lines.Count -gt 0) { ConvertFrom-Json $lines[0] } else { $null }
$secret = if ($lines.Count -gt 1) { [Convert]::FromBase64String($lines[1]) } else { [byte[]]@() }
$secretOut = $null
function Answer($value) {
  $text = (ConvertTo-Json -InputObject $value -Depth 4 -Compress) + [char]10
  if ($secretOut -ne $null) { $text += [Convert]::ToBase64String($secretOut) + [char]10 }
  $bytes = [Text.Encoding]::UTF8.GetBytes($text)
  $out = [Console]::OpenStandardOutput()
  $out.Write($bytes, 0, $bytes.Length)
  $out.Flush()
}
`;

/** How a script ended without an answer: the reason goes into a `Failure`, the script's own words go nowhere. */
export class ScriptTrouble extends Error {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

export type Script = Readonly<{
  script: string;
  request?: Readonly<Record<string, string | number | boolean>>;
  secret?: Uint8Array;
  timeoutMs?: number;
}>;

/** The parsed first line of the answer, still unknown, and the bytes of the second, which the caller wipes. */
export type ScriptAnswer = Readonly<{ value: unknown; secret: Uint8Array | null }>;

export async function runScript(processes: Processes, host: WindowsHost, wanted: Script): Promise<ScriptAnswer> {
  const input = inputOf(wanted);
  try {
    const { ending, status, output } = await processes.run(programOf(host, wanted), input);
    try {
      if (ending !== 'exited') throw new ScriptTrouble(`script_${ending}`);
      if (status !== 0) throw new ScriptTrouble(`script_exit_${status}`);
      return readAnswer(output);
    } finally {
      output.fill(0);
    }
  } finally {
    input.fill(0);
  }
}

function programOf({ systemRoot, scratch }: WindowsHost, { script, timeoutMs = SCRIPT_TIMEOUT_MS }: Script): Program {
  return {
    program: `${systemRoot}\\System32\\WindowsPowerShell\\v1.0\\powershell.exe`,
    args: [...SWITCHES, '-Command', PREAMBLE + script],
    // Compiling what a script imports needs a folder, which must be nobody else's.
    env: { SystemRoot: systemRoot, windir: systemRoot, PATH: `${systemRoot}\\System32`, TEMP: scratch, TMP: scratch },
    cwd: `${systemRoot}\\System32`,
    timeoutMs,
    outputBytesMax: ANSWER_BYTES_MAX,
  };
}

/** ASCII alone, whatever the console takes bytes for. */
function inputOf({ request = {}, secret }: Script): Buffer {
  const json = JSON.stringify(request).replace(
    /[^\x20-\x7e]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const lines = secret === undefined ? `${json}\n` : `${json}\n${Buffer.from(secret).toString('base64')}\n`;
  return Buffer.from(lines, 'ascii');
}

function readAnswer(output: Buffer): ScriptAnswer {
  const [json = '', secret, end, ...rest] = output.toString('utf8').split('\n');
  // One line and an end, or two and an end.
  const whole = end === undefined ? secret === '' : end === '' && rest.length === 0;
  const value = whole ? parseJson(json) : undefined;
  if (value === undefined) throw new ScriptTrouble('script_answer');
  return { value, secret: end === undefined || secret === undefined ? null : fromBase64(secret) };
}

/** `undefined` for what is no JSON; the parser's own error would quote it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new ScriptTrouble('script_answer');
  return Uint8Array.from(bytes);
}
