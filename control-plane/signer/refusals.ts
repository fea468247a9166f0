// Refusals as rows of the audit: whatever the control plane asked for and the rules did not allow, unless the decision wrote a row
// of its own.

import { type Code, codes } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import { operationId, operatorName } from '../../protocol/schema.ts';
import { auditRefusal } from './limits.ts';
import type { SignerParts } from './parts.ts';

/** Requests that would have moved something. */
const METHODS = [
  'intent.build',
  'intent.prove',
  'release.build',
  'factor.email',
  'factor.passkey',
  'passkey.options',
  'passkey.register',
  'command.mint',
  'cancel.mint',
];
/** Not well-formed: nothing was asked for. */
const MEANINGLESS: readonly Code[] = ['REQUEST_INVALID'];

type Asked = Readonly<{ method: string; params: unknown }>;

/** Does the work of one request, within its turn, so that nothing comes between a refusal and its row. */
export async function noteRefusal(
  { ledger, nowS }: Pick<SignerParts, 'ledger' | 'nowS'>,
  { method, params }: Asked,
  work: () => unknown,
): Promise<unknown> {
  const before = ledger.newestAudit()?.n;
  try {
    return await work();
  } catch (error) {
    if (!METHODS.includes(method) || !isRefusal(error) || ledger.newestAudit()?.n !== before) throw error;
    const { op, operator } = (params ?? {}) as { op?: unknown; operator?: unknown };
    const { code, details } = error;
    const data = { method, code, ...(details['reason'] === undefined ? {} : { reason: details['reason'] }) };
    const who = { op: named(op, operationId), operator: named(operator, operatorName) };
    auditRefusal(ledger, who.operator ?? method, { at: nowS(), kind: 'request.refused', ...who, data });
    throw error;
  }
}

/** What may be asked again as it is was not decided. */
function isRefusal(error: unknown): error is Failure {
  if (!(error instanceof Failure)) return false;
  const { kind, retry } = codes[error.code];
  return kind === 'refusal' && !retry && !MEANINGLESS.includes(error.code);
}

type Named = Readonly<{ safeParse(value: unknown): Readonly<{ success: boolean; data?: string }> }>;

function named(value: unknown, schema: Named): string | undefined {
  const read = schema.safeParse(value);
  return read.success ? read.data : undefined;
}
