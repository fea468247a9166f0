// Compares the intent that the control plane wrote with what was asked and confirmed. What is proven is these bytes and
// nothing else, so each of their fields is looked at here; one that differs ends the flow before any proof leaves.

import { Failure } from '../../../protocol/failure.ts';
import { type Intent, readIntent, type SecretSource } from '../../../protocol/intent.ts';
import { fromBase64url, sha256, toBase64url } from '../../../protocol/keys.ts';
import { INTENT_TTL_S } from '../../../protocol/limits.ts';
import type { Ready } from '../../../protocol/session.ts';
import type { IntentResponse } from '../../api/schemas.ts';
import type { ResetRequest } from './request.ts';

export type Asked = Readonly<{
  op: string;
  /** The machine, or those of a list. */
  agent: string | readonly string[];
  project: string;
  operator: string;
  request: ResetRequest;
  /** The executor's word at this moment, and the one that was shown before. */
  ready: Ready | null;
  shown: Ready | null;
  account?: SecretSource;
  vnc?: SecretSource;
  nowS: number;
}>;

export type CheckedIntent = Readonly<{ hashBytes: Uint8Array; hash: string; notAfterS: number }>;

/** How far this machine's clock and the server's may lie apart before an intent counts as living too long. */
const CLOCK_APART_S_MAX = 600;

/** Throws `AUTHZ_INVALID` naming the first field that is not what was asked. */
export async function checkIntent(
  response: Pick<IntentResponse, 'intent' | 'intent_hash'>,
  asked: Asked,
): Promise<CheckedIntent> {
  const hashBytes = await sha256(fromBase64url(response.intent));
  const hash = toBase64url(hashBytes);
  same('intent_hash', response.intent_hash, hash);
  const intent = readIntent(response.intent);
  const { request } = asked;
  same('act', intent.act, 'reset');
  for (const field of ['op', 'project', 'operator'] as const) same(field, intent[field], asked[field]);
  sameMachines(intent, asked);
  same('method', intent.method, 'online');
  checkEnd(intent, asked);
  if (intent.act !== 'reset') throw differs('act');

  same('account', intent.account !== undefined, request.account !== undefined);
  if (intent.account && request.account) {
    same('account.name', intent.account.name, request.account.name);
    checkUid(intent.account.uid, asked);
    same('account.unlock', intent.account.unlock, request.account.unlock);
    sameSecret('account.secret', intent.account.secret, asked.account);
  }
  same('vnc', intent.vnc !== undefined, request.vnc !== undefined);
  if (intent.vnc && request.vnc) {
    same('vnc.server', intent.vnc.server, request.vnc.server);
    same('vnc.restart', intent.vnc.restart, request.vnc.restart);
    sameSecret('vnc.secret', intent.vnc.secret, asked.vnc);
  }
  same('reboot.kind', intent.reboot.kind, 'normal');
  same('reboot.grace_s', intent.reboot.grace_s, request.graceS);
  same('not_before', intent.not_before ?? null, request.notBeforeS ?? null);
  return { hashBytes, hash, notAfterS: intent.not_after };
}

/** The one that was asked for; or each of the list, and no other. */
function sameMachines(intent: Intent, { agent }: Asked): void {
  const targets = intent.act === 'reset' ? (intent.targets ?? []) : [];
  if (typeof agent === 'string') same('agent', intent.agent ?? null, agent);
  else same('targets', targets.toSorted().join(' '), agent.toSorted().join(' '));
}

/** A proof must not stay usable for longer than was asked. */
function checkEnd(intent: Intent, { nowS, request }: Asked): void {
  const opensS = Math.max(0, (request.notBeforeS ?? 0) - nowS);
  const latestS = nowS + (request.validS ?? opensS + INTENT_TTL_S) + CLOCK_APART_S_MAX;
  if (intent.not_after > latestS) throw differs('not_after');
}

/** The account is the one that an executor named; `null` only while none is there to name it. */
function checkUid(offered: number | null, { ready, shown }: Asked): void {
  const wanted = ready ? [ready.account?.uid ?? null] : [null, shown?.account?.uid ?? null];
  if (!wanted.includes(offered)) throw differs('account.uid');
}

function sameSecret(field: string, offered: SecretSource, asked: SecretSource | undefined): void {
  if (!asked) throw differs(field);
  same(`${field}.mode`, offered.mode, asked.mode);
  if (offered.mode === 'typed' && asked.mode === 'typed') {
    same(`${field}.sealed_sha256`, offered.sealed_sha256, asked.sealed_sha256);
  }
  if (offered.mode === 'generated' && asked.mode === 'generated') {
    same(`${field}.recipient_jwk`, offered.recipient_jwk.x, asked.recipient_jwk.x);
  }
}

function same(field: string, offered: string | number | boolean | null, asked: string | number | boolean | null): void {
  if (offered !== asked) throw differs(field);
}

function differs(field: string): Failure {
  return new Failure('AUTHZ_INVALID', { field, reason: 'the control plane wrote something other than was asked' });
}
