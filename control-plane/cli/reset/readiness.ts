// Whether an executor waits for an operation, on the executor's own signed word. The control plane's copy of that word is
// shown nowhere: account, servers and sealing key are read from the token alone.

import type { Code } from '../../../protocol/codes.ts';
import { isCode } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';
import { thumbprint } from '../../../protocol/keys.ts';
import { type Ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';
import { type Ready, ready as readySchema } from '../../../protocol/session.ts';
import { onlyKey, verifyToken } from '../../../protocol/token.ts';
import type { OperationView } from '../../api/schemas.ts';
import type { ResetRequest } from './request.ts';

/** Whom the operation is for, as it was when it was created: later answers must name the same. */
export type Addressee = Readonly<{ op: string; agent: string; ek: Ed25519Jwk }>;

/** The verified `ready`, or `null` where the operation has none. Throws what `verifyToken` throws, and `AUD_MISMATCH`. */
export async function readReady(view: OperationView, addressee: Addressee): Promise<Ready | null> {
  if (view.op !== addressee.op || view.agent !== addressee.agent || view.ek?.x !== addressee.ek.x) {
    throw new Failure('AUD_MISMATCH', { op: addressee.op, reason: 'the operation changed its machine' });
  }
  if (view.ready === null) return null;
  const key = onlyKey(await thumbprint(addressee.ek), addressee.ek);
  const { payload } = await verifyToken(view.ready, 'lk-ready+jws', key);
  const ready = parseSchema(readySchema, payload);
  if (ready.op !== addressee.op || ready.agent !== addressee.agent) {
    throw new Failure('AUD_MISMATCH', { op: addressee.op, reason: 'ready' });
  }
  return ready;
}

/** What the executor said that makes the request pointless; thrown before anyone confirms it. */
export function demandPossible(ready: Ready, request: ResetRequest): void {
  if (request.account) demandAccount(ready, request.account);
  if (!request.vnc) return;
  const { server } = request.vnc;
  // Beside an account, a missing server is a warning: the account's password is reset all the same.
  if (ready.vnc.length === 0 && !request.account) throw new Failure('VNC_ABSENT');
  if (server !== null && !ready.vnc.some((found) => found.server === server) && ready.vnc.length > 0) {
    throw new Failure('VNC_ABSENT', { server, found: ready.vnc.map((found) => found.server).join(' ') });
  }
}

function demandAccount(ready: Ready, { name, unlock }: NonNullable<ResetRequest['account']>): void {
  const { account, account_code: code } = ready;
  const subject = name === null ? {} : { account: name };
  if (account && name !== null && account.name !== name) {
    throw new Failure('ACCOUNT_NOT_FOUND', { ...subject, reason: 'the agent resolved another account' });
  }
  if (account?.state === 'locked' && !unlock) throw new Failure('ACCOUNT_LOCKED', { account: account.name });
  if (account?.state === 'expired') throw new Failure('ACCOUNT_EXPIRED', { account: account.name });
  if (account) return;
  throw new Failure(codeOr(code, 'ACCOUNT_NOT_FOUND'), subject);
}

function codeOr(text: string | null, otherwise: Code): Code {
  return text !== null && isCode(text) ? text : otherwise;
}
