// Generated passwords after the fact: opening what was sealed to this user, saying whether each is in force, and letting
// go of the key and the ciphertext once they were shown.

import { Failure } from '../../../protocol/failure.ts';
import { openSecret, type Slot } from '../../../protocol/seal.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { OperationView } from '../../api/schemas.ts';
import type { Client } from '../client/client.ts';
import { dropRecipient, findRecipient } from '../client/recipients.ts';

export type OpenedSecrets = Partial<Record<Slot, Secret>>;
/** `unknown`: it may be, and the machine has not said. */
export type InForce = 'yes' | 'no' | 'unknown';

/** Opens the operation's sealed passwords with the key kept here; none where there is no key or nothing is sealed. */
export async function openSecrets(client: Client, view: OperationView): Promise<OpenedSecrets> {
  const op = sealedUnder(view);
  const recipient = await findRecipient(client.stateFolder, op);
  if (!recipient || !view.sealed) return {};
  const { agent, key } = recipient;
  if (agent !== null && view.agent !== agent) throw new Failure('AUD_MISMATCH', { op: view.op });
  const opened: OpenedSecrets = {};
  for (const slot of ['account', 'vnc'] as const) {
    const sealed = view.sealed[slot];
    if (sealed) opened[slot] = await openSecret(sealed, { op, agent: view.agent, dir: 'to-operator', slot }, key);
  }
  return opened;
}

/** What the machine sealed it for: one of a bulk knows its operation by the bulk's name. */
const sealedUnder = ({ bulk, op }: Pick<OperationView, 'bulk' | 'op'>): string => bulk ?? op;

/** Whether a password could still be opened here. */
export async function isKeyKept(client: Client, view: Pick<OperationView, 'op' | 'bulk'>): Promise<boolean> {
  return (await findRecipient(client.stateFolder, sealedUnder(view))) !== undefined;
}

/**
 * After the passwords were shown: the key goes first, so that a lost answer leaves nothing that can be opened. That of a bulk is
 * for the other machines, too.
 */
export async function letGo(client: Client, { op, bulk }: Pick<OperationView, 'op' | 'bulk'>): Promise<void> {
  if (bulk === null) await dropRecipient(client.stateFolder, op);
  await client.api.collected(op).catch(() => undefined);
}

/** Whether nothing sealed can come any more: the operation is over, and not only presumed to be. */
export function isSettled(view: OperationView): boolean {
  return view.ended && !(view.state === 'EXPIRED' && view.receipts.length > 0);
}

/** Whether the slot's new password is in force, as far as the agent's signed words say. */
export function inForce(view: OperationView, slot: Slot): InForce {
  const reached = (state: string) => view.receipts.some((receipt) => receipt.state === state);
  const proven = view.verified?.[slot];
  if (slot === 'vnc' && (proven === 'absent' || view.code === 'VNC_FAILED' || view.warnings.includes('VNC_ABSENT'))) {
    return 'no';
  }
  if (reached(slot === 'account' ? 'PASSWORD_SET' : 'VNC_SET')) return proven === false ? 'unknown' : 'yes';
  if (view.code === 'VERIFY_FAILED') return 'unknown';
  if (view.receipts.length === 0 || isSettled(view)) return 'no';
  return 'unknown';
}
