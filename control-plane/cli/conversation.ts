// The operator's side of a reset at this command line: shows the summary, asks, and hands events to the screen.

import { note } from '@clack/prompts';
import type { Secret } from '../../protocol/secret.ts';
import { askPassword, canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import { demandProof, openProver, type ProofOptions } from './prover.ts';
import type { ResetEvent, ResetObserver, ResetSummary } from './reset/request.ts';
import type { ProgressView } from './view/progress.ts';
import { openProgress } from './view/progress.ts';
import { summaryText } from './view/summary.ts';
import { writeJson, writeLine } from './view/text.ts';

export type ConversationOptions = Readonly<{
  json: boolean;
  yes: boolean;
  proof: ProofOptions;
  /** Slots whose typed password is a line of standard input. */
  stdin: Readonly<{ account: boolean; vnc: boolean }>;
}>;

/** Throws a usage error for questions that nobody could answer, before anything is asked of the server. */
export function demandAnswers({ yes, proof, stdin }: ConversationOptions): void {
  if (canAsk() && !stdin.account && !stdin.vnc && !proof.codeStdin) return;
  if (!yes) throw new UsageError('nobody can be asked here: give --yes');
  demandProof(proof);
}

/** The observer, with the screen that it feeds; `close` it before anything else is printed. */
export async function converse(
  options: ConversationOptions,
): Promise<Readonly<{ observer: ResetObserver; close(): Promise<void> }>> {
  let screen: ProgressView | undefined;
  let lines: (() => Promise<Secret>) | undefined;
  // One reader of standard input, whatever is read from it.
  const nextLine = () => {
    lines ??= secretLines();
    return lines();
  };
  const prover = await openProver(options.proof, nextLine);

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
      return nextLine();
    },
    ...prover,
  };
  return { observer, close: async () => screen?.close() };
}

/** JSON lines as they happen; for people only what they would wonder about. */
function announce(event: ResetEvent, json: boolean): void {
  if (!json) {
    if (event.event === 'approved') writeLine(`Approved as ${event.operation.op}.`);
    if (event.event === 'proven') {
      writeLine('Somebody else has to approve it, too:');
      writeLine(`  latchkey op approve ${event.operation.op}`);
    }
    return;
  }
  if (event.event === 'created') writeJson({ event: 'created', op: event.operation.op, vm: event.operation.vm_name });
  else if (event.event === 'ready') writeJson({ event: 'ready', op: event.operation.op });
  else if (event.event === 'waiting') {
    writeJson({ event: 'waiting', op: event.operation.op, online: event.online, reason: event.reason });
  } else if (event.event === 'intent') {
    writeJson({ event: 'intent', op: event.operation.op, intentHash: event.intentHash, notAfter: event.notAfterS });
  } else if (event.event === 'approved' || event.event === 'proven') {
    writeJson({ event: event.event, op: event.operation.op });
  }
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
