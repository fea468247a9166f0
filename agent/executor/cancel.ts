// Cancelling: another executor process receives the signed cancel, checks it, and leaves the token where the one at work
// finds it. That one checks it again. So a cancel also works after the link was restarted.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { authoriseCancel } from '../core/authorise.ts';
import { type Operation, openOperation } from '../core/ledger.ts';
import { verifyCommand } from './accept.ts';
import type { ExecutorParts } from './parts.ts';
import { ledgerOf } from './recorder.ts';

/** Checks a cancel against the operation under way and leaves it for the process that carries it out. */
export async function receiveCancel(parts: ExecutorParts, token: string): Promise<string> {
  const journal = await parts.openJournal('read');
  const open = openOperation(ledgerOf(journal));
  await journal.close();
  if (!open) throw new Failure('NONCE_UNKNOWN', { reason: 'nothing_under_way' });
  await demandCancel(parts, open, token);
  await parts.cancels.put(token);
  return open.op;
}

/** Whether a valid cancel of exactly this operation lies ready. Anything else in the box is nothing. */
export async function cancelRequested(parts: ExecutorParts, operation: Operation): Promise<boolean> {
  const token = await parts.cancels.take();
  if (token === null) return false;
  try {
    await demandCancel(parts, operation, token);
    return true;
  } catch (error) {
    if (!codeOf(error)) throw error;
    return false;
  }
}

async function demandCancel(parts: ExecutorParts, { op, work }: Operation, token: string): Promise<void> {
  const cn = work?.cn ?? '';
  const root = await parts.roots.newest();
  authoriseCancel(await verifyCommand(parts, token), { ...parts.identity, root, op, cn, expired: false });
}
