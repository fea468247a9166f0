// How a check says that an audit does not hold: by one word of reason here, and with the number of the row where it is known.

import { Failure } from '../../../protocol/failure.ts';

/** `AUDIT_BROKEN` naming a row. */
export function broken(row: number, reason: string, more: Readonly<Record<string, string>> = {}): Failure {
  return new Failure('AUDIT_BROKEN', { row, reason, ...more });
}

/** What a row says has to be so; whoever reads the rows adds which one it was. */
export function demand(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new Failure('AUDIT_BROKEN', { reason });
}
