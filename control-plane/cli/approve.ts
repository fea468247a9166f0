// `latchkey op approve`: the second of two people reads what the first one asked for, from the very bytes that both prove, and
// proves them with a factor of their own.

import { Failure } from '../../protocol/failure.ts';
import { readIntent, type WorkIntent } from '../../protocol/intent.ts';
import { fromBase64url, sha256, toBase64url } from '../../protocol/keys.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { OperationView } from '../api/schemas.ts';
import type { CommonOptions } from './action.ts';
import type { Client } from './client/client.ts';
import { canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import { demandProof, openProver, type ProofFlags, readProofFlags } from './prover.ts';
import { proveAndSubmit } from './reset/proof.ts';
import { durationText } from './view/summary.ts';
import { fields, printable, writeJson, writeLine } from './view/text.ts';

export type ApproveOptions = CommonOptions & ProofFlags & Readonly<{ yes?: boolean }>;

export async function approveOperation({ api, ...rest }: Client, op: string, options: ApproveOptions): Promise<void> {
  const client = { api, ...rest };
  const flags = readProofFlags(options);
  if (!canAsk() || flags.codeStdin) {
    if (!options.yes) throw new UsageError('nobody can be asked here: give --yes');
    demandProof(flags);
  }
  const [operation, { operator }, shown] = await Promise.all([api.operation(op), api.whoami(), api.shownIntent(op)]);
  const hashBytes = await sha256(fromBase64url(shown.intent));
  const hash = toBase64url(hashBytes);
  const intent = readIntent(shown.intent);
  // What is shown is what is proven: bytes of another operation or machine are not.
  if (hash !== shown.intent_hash || intent.act === 'cancel' || intent.op !== op || intent.agent !== operation.agent) {
    throw new Failure('AUTHZ_INVALID', { field: 'intent', reason: 'the control plane shows something else' });
  }
  if (shown.awaits !== 'second') throw new Failure('STATE_CONFLICT', { state: operation.state, awaits: shown.awaits });
  if (intent.operator === operator) throw new Failure('AUTHZ_INVALID', { reason: 'same_person' });
  show(operation, intent, options);
  if (!options.yes && !(await confirm(`Approve this for ${intent.operator}?`))) throw new Failure('CANCELLED', { op });
  let lines: (() => Promise<Secret>) | undefined;
  const nextLine = () => {
    lines ??= secretLines();
    return lines();
  };
  const observer = await openProver(flags, nextLine);
  const submission = { observer, checked: { hash, hashBytes }, methods: shown.methods };
  const approved = await proveAndSubmit(client, { op, operation, operator }, submission);
  if (options.json) writeJson({ event: 'approved', op, state: approved.state, approved: approved.approved });
  else writeLine(`Approved as ${op}.`);
}

function show(operation: OperationView, intent: WorkIntent, { json }: ApproveOptions): void {
  const { act, operator, account, vnc, reboot } = intent;
  if (json) {
    const name = account?.name ?? null;
    writeJson({ event: 'summary', op: operation.op, vm: operation.vm_name, act, operator, account: name });
    return;
  }
  writeLine(
    fields([
      ['asked for by', operator],
      ['machine', `${printable(operation.vm_name)} (agent ${operation.agent})`],
      ['account', account ? `${account.name ?? 'the default administrator'}, ${account.secret.mode} password` : 'none'],
      ['VNC', vnc ? `${vnc.server ?? 'the machine’s server'}, ${vncPassword(vnc.secret)}` : 'none'],
      ['is', act === 'reset' ? 'a reset' : 'the first passwords of a machine to come'],
      ...windowOf(intent),
      ['restart', reboot.grace_s === 0 ? 'at once' : `after ${durationText(reboot.grace_s)}`],
    ]),
  );
}

const vncPassword = (secret: NonNullable<WorkIntent['vnc']>['secret']): string =>
  secret === 'same' ? 'the account’s password' : `${secret.mode} password`;

function windowOf(intent: WorkIntent): (readonly [string, string])[] {
  if (intent.act !== 'reset' || intent.not_before === undefined) return [];
  const [opens, ends] = [intent.not_before, intent.not_after].map((s) => new Date(s * 1_000).toISOString());
  return [['window', `${opens} to ${ends}`]];
}
