// `latchkey vm unquarantine`: shows what is held and why, and proves that exactly this machine shall be let in again.

import { parseCanonical } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, sha256, toBase64url } from '../../protocol/keys.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { VmView } from '../api/schemas.ts';
import type { ReleaseIntent, ReleaseRequest } from '../api/schemas-installation.ts';
import type { CommonOptions } from './action.ts';
import type { Client } from './client/client.ts';
import { canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import { demandProof, openProver, type ProofFlags, readProofFlags } from './prover.ts';
import { proofBody } from './reset/proof.ts';
import { codeWithHint, printable, writeJson, writeLine } from './view/text.ts';

export type ReleaseOptions = CommonOptions & ProofFlags & Readonly<{ yes?: boolean }>;

export async function unquarantine({ api }: Client, name: string, options: ReleaseOptions): Promise<void> {
  const flags = readProofFlags(options);
  if (!canAsk() || flags.codeStdin) {
    if (!options.yes) throw new UsageError('nobody can be asked here: give --yes');
    demandProof(flags);
  }
  const machine = await api.vm(name);
  if (!machine.quarantine) throw new Failure('STATE_CONFLICT', { vm: machine.name, reason: 'not_held' });
  if (!options.json) {
    writeLine(
      `${printable(machine.name)} is held since ${machine.quarantine.since}: ${codeWithHint(machine.quarantine.code)}`,
    );
    writeLine('Whoever shows its identity first from now on is taken for it. Be sure that only the right machine can.');
  }
  const { intent, checked, operator } = await intentFor(await api.releaseIntent(machine.id), machine);
  const asked = intent.awaits === 'second' ? `Let it in again, as ${operator} asks?` : 'Let it in again?';
  if (!options.yes && !(await confirm(asked))) throw new Failure('CANCELLED', { vm: machine.name });
  const prover = await openProver(flags, nextLine());
  const mail = () => Promise.reject(new Failure('FACTOR_UNKNOWN', { method: 'email' }));
  const methods = intent.methods.filter((method) => method !== 'email');
  const question = { operation: { vm_name: machine.name }, intentHash: checked.hash, methods, attempt: 1, mail };
  const { intent_hash: _, ...proof } = await proofBody(await prover.prove(question), checked);
  const body = { op: intent.op, intent_hash: checked.hash, proof } as ReleaseRequest;
  const { id, name: called, quarantine } = await api.release(machine.id, body);
  if (options.json) writeJson({ event: quarantine ? 'proven' : 'released', vm: id, name: called });
  else if (quarantine)
    writeLine('Another operator has to approve it: `latchkey vm unquarantine` with their own proof.');
  else writeLine(`${printable(called)} may come in again.`);
}

/** The bytes that are proven say what was confirmed, and nothing else. */
async function intentFor(intent: ReleaseIntent, { agent }: VmView) {
  const hashBytes = await sha256(fromBase64url(intent.intent));
  const hash = toBase64url(hashBytes);
  const said = parseCanonical(fromBase64url(intent.intent)) as { act?: unknown; agent?: unknown; operator?: unknown };
  if (hash !== intent.intent_hash || said.act !== 'release' || said.agent !== agent) {
    throw new Failure('AUTHZ_INVALID', { field: 'intent', reason: 'the control plane shows something else' });
  }
  return { intent, checked: { hash, hashBytes }, operator: printable(String(said.operator)) };
}

function nextLine(): () => Promise<Secret> {
  let lines: (() => Promise<Secret>) | undefined;
  return () => {
    lines ??= secretLines();
    return lines();
  };
}
