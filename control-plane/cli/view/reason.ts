// The word of reason that a receipt carries beside its code, in plain words for an operator.

import { reasonOf } from '../../../protocol/reasons.ts';
import type { OperationView } from '../../api/schemas.ts';
import { printable } from './text.ts';

/** The last receipt's reason as a clause, or its bare word where a newer agent says something else; what to do is `hint`. */
export function reasonText({
  receipts,
}: Pick<OperationView, 'receipts'>): { clause: string; hint: string | null } | null {
  const last = receipts.at(-1);
  const word = last?.detail['reason'];
  if (typeof word !== 'string') return null;
  const known = reasonOf(word, last?.code ?? null);
  if (known === null) return { clause: printable(word), hint: null };
  const about = known.about === null ? '' : `: ${printable(known.about)}`;
  return { clause: `${known.clause}${about}`, hint: known.hint ?? null };
}
