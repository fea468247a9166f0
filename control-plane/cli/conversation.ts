// The operator's side of a reset at this command line: shows the summary, asks, proves, and hands events to the screen.

import { readFileSync, statSync } from 'node:fs';
import { note } from '@clack/prompts';
import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, type SigningKey, signingKeyFromSeed } from '../../protocol/keys.ts';
import { bytes32 } from '../../protocol/schema.ts';
import type { Secret } from '../../protocol/secret.ts';
import { askCode, askPassword, canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import type { Proof, ProofQuestion, ResetEvent, ResetObserver, ResetSummary } from './reset/request.ts';
import type { ProgressView } from './view/progress.ts';
import { openProgress } from './view/progress.ts';
import { summaryText } from './view/summary.ts';
import { printable, writeJson, writeLine } from './view/text.ts';

export type ConversationOptions = Readonly<{
  json: boolean;
  yes: boolean;
  code?: string;
  keyFile?: string;
  /** Slots whose typed password is a line of standard input. */
  stdin: Readonly<{ account: boolean; vnc: boolean }>;
}>;

/** Throws a usage error for questions that nobody could answer, before anything is asked of the server. */
export function demandAnswers({ yes, code, keyFile, stdin }: ConversationOptions): void {
  if (code !== undefined && keyFile !== undefined) throw new UsageError('--code and --key-file exclude each other');
  if (canAsk() && !stdin.account && !stdin.vnc) return;
  if (!yes) throw new UsageError('nobody can be asked here: give --yes');
  if (code === undefined && keyFile === undefined) {
    throw new UsageError('nobody can be asked here: give --code or --key-file');
  }
}

/** The observer, with the screen that it feeds; `close` it before anything else is printed. */
export async function converse(
  options: ConversationOptions,
): Promise<Readonly<{ observer: ResetObserver; close(): Promise<void> }>> {
  const key = options.keyFile === undefined ? undefined : await readKeyFile(options.keyFile);
  let screen: ProgressView | undefined;
  let nextLine: (() => Promise<Secret>) | undefined;

  const observer: ResetObserver = {
    onEvent(event) {
      if (event.event === 'progress') {
        screen ??= openProgress(options);
        screen.show(event.operation);
      } else if (event.event === 'unreachable') screen?.unreachable(event.code);
      else if (event.event === 'reachable') screen?.reachable();
      else announce(event, options.json);
    },
    async confirm(summary) {
      if (options.json) writeJson(summaryJson(summary));
      else showSummary(summary);
      return options.yes || confirm('Reset and restart this machine?');
    },
    async typedSecret(slot, fault) {
      if (!options.stdin[slot]) return askPassword(slot === 'vnc' ? 'VNC password' : 'password', fault);
      nextLine ??= secretLines();
      return nextLine();
    },
    prove: (question) => prove(question, { ...options, ...(key ? { key } : {}) }),
    retryProof: options.code === undefined && key === undefined,
  };
  return { observer, close: async () => screen?.close() };
}

async function prove(
  { methods, attempt, operation }: ProofQuestion,
  { code, key }: { code?: string; key?: SigningKey },
): Promise<Proof> {
  if (key) return { method: 'key', key };
  if (code !== undefined) return { method: 'totp', code };
  if (!methods.includes('totp')) throw new UsageError('this operator proves with a key: give --key-file');
  const again = attempt === 1 ? '' : 'That code was not accepted. ';
  return {
    method: 'totp',
    code: await askCode(`${again}Code of your authenticator for ${printable(operation.vm_name)}`),
  };
}

/** JSON lines as they happen; for people only what they would wonder about. */
function announce(event: ResetEvent, json: boolean): void {
  if (!json) {
    if (event.event === 'approved') writeLine(`Approved as ${event.operation.op}.`);
    return;
  }
  if (event.event === 'created') writeJson({ event: 'created', op: event.operation.op, vm: event.operation.vm_name });
  else if (event.event === 'ready') writeJson({ event: 'ready', op: event.operation.op });
  else if (event.event === 'waiting') {
    writeJson({ event: 'waiting', op: event.operation.op, online: event.online, reason: event.reason });
  } else if (event.event === 'intent') {
    writeJson({ event: 'intent', op: event.operation.op, intentHash: event.intentHash, notAfter: event.notAfterS });
  } else if (event.event === 'approved') writeJson({ event: 'approved', op: event.operation.op });
}

function summaryJson({ operation, online, ready, reason, acquaintance, warnings, request }: ResetSummary): object {
  const { account, vnc, graceS } = request;
  return {
    event: 'summary',
    op: operation.op,
    vm: operation.vm_name,
    agent: operation.agent,
    agentKnown: acquaintance,
    online,
    reason,
    account: account ? { asked: account.name, mode: account.mode, found: ready?.account ?? null } : null,
    vnc: vnc ? { asked: vnc.server, mode: vnc.mode, found: ready?.vnc ?? null } : null,
    graceS,
    warnings,
  };
}

function showSummary(summary: ResetSummary): void {
  const { title, facts, costs } = summaryText(summary);
  const body = [...facts, '', 'What it can cost', ...costs.map((cost) => `- ${cost}`)];
  if (canAsk()) note(body.join('\n'), title, { output: process.stderr, format: (line) => line });
  else process.stderr.write(`${[title, ...body].join('\n')}\n`);
}

const privateJwk = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), d: bytes32 });

/** A private Ed25519 JWK that nobody else on this machine can read. */
async function readKeyFile(path: string): Promise<SigningKey> {
  const refuse = (reason: string, cause?: unknown) =>
    new Failure('CONFIG_INVALID', { field: 'key-file', path, reason }, cause);
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0) throw refuse('others may read it: chmod 600');
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw refuse((cause as NodeJS.ErrnoException).code ?? 'unreadable', cause);
  }
  try {
    return await signingKeyFromSeed(fromBase64url(z.parse(privateJwk, JSON.parse(text)).d));
  } catch {
    // Without the cause: a parser quotes what it read.
    throw refuse('not a private Ed25519 JWK');
  }
}
