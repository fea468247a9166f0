// Whether a receipt, its signature already verified, is the next one of its operation. It looks at the chain and at the
// command that was sent; what the receipt then does is `progress`.

import { RECEIPT_GENESIS, type Receipt } from '../../protocol/receipt.ts';
import type { Operation } from './operation.ts';

/** Far more than a reset has; what a machine may make this history hold. */
export const RECEIPTS_MAX = 64;

export type Verdict =
  /** The next link of the chain. */
  | Readonly<{ verdict: 'next' }>
  /** Stored before, byte for byte: acknowledge it again. */
  | Readonly<{ verdict: 'duplicate' }>
  /** Not to be stored, with the reason; never acknowledged. */
  | Readonly<{ verdict: 'refused'; reason: 'gap' | 'fork' | 'agent' | 'never_sent' | 'command' | 'too_many' }>;

/** `storedSha256` is the payload hash of the stored receipt of the same number, if there is one. */
export function judgeReceipt(
  operation: Operation,
  receipt: Receipt,
  sha256: string,
  storedSha256: string | null,
): Verdict {
  if (receipt.agent !== operation.agent) return { verdict: 'refused', reason: 'agent' };
  if (storedSha256 !== null) {
    return storedSha256 === sha256 ? { verdict: 'duplicate' } : { verdict: 'refused', reason: 'fork' };
  }
  if (operation.command === null) return { verdict: 'refused', reason: 'never_sent' };
  if (receipt.n !== (operation.chain?.n ?? 0) + 1) return { verdict: 'refused', reason: 'gap' };
  if (receipt.prev !== (operation.chain?.sha256 ?? RECEIPT_GENESIS)) return { verdict: 'refused', reason: 'fork' };
  if (receipt.n > RECEIPTS_MAX) return { verdict: 'refused', reason: 'too_many' };
  if (!isAbout(operation, receipt)) return { verdict: 'refused', reason: 'command' };
  return { verdict: 'next' };
}

/**
 * A receipt names the command that was sent. A refusal may name other bytes, when the command was altered on its way; the
 * nonce, signed by the machine, still says which operation is over.
 */
function isAbout({ sentSha256, command }: Operation, receipt: Receipt): boolean {
  if (sentSha256.includes(receipt.cmd_sha256)) return true;
  return receipt.n === 1 && receipt.state === 'REFUSED' && receipt.cn === command?.cn;
}
