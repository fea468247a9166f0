// What the audit has to hear of, kept in the transaction that makes it true until the signer has taken it: nothing is left out
// because the signer was away, and nothing is told that was rolled back.

import { isEnd, type State } from '../../protocol/lifecycle.ts';
import type { EventData } from '../core/operation.ts';
import type { Seen } from '../signer/requests.ts';
import type { Db, Write } from './store.ts';

export type Waiting = Readonly<{ seq: number; item: Seen }>;

export async function handOver(trx: Write, item: Seen): Promise<void> {
  await trx
    .insertInto('handover')
    .values({ item_json: JSON.stringify(item) })
    .execute();
}

/** Oldest first. */
export async function waitingItems(db: Db, count: number): Promise<Waiting[]> {
  const rows = await db.selectFrom('handover').selectAll().orderBy('seq').limit(count).execute();
  return rows.map(({ seq, item_json }) => ({ seq, item: JSON.parse(item_json) as Seen }));
}

export async function handedOver(trx: Write, upTo: number): Promise<void> {
  await trx.deleteFrom('handover').where('seq', '<=', upTo).execute();
}

type Notice = Extract<Seen, { t: 'notice' }>;

const kinds: Readonly<Record<string, Notice['kind']>> = {
  'vm.flag': 'machine.flagged',
  'vm.released': 'machine.released',
  'operation.state': 'operation.ended',
  'operation.alarm': 'operation.alarm',
  'operator.created': 'operator.created',
  'project.created': 'project.created',
  'project.member': 'project.member',
  'api_key.created': 'api_key.created',
  'api_key.revoked': 'api_key.revoked',
  'invitation.created': 'invitation.created',
  'invitation.accepted': 'invitation.accepted',
  'invitation.revoked': 'invitation.revoked',
  'person.signed_in': 'person.signed_in',
  'person.signed_out_everywhere': 'person.signed_out_everywhere',
  'person.password_changed': 'person.password_changed',
  'person.passkey_added': 'person.passkey_added',
  'person.passkey_removed': 'person.passkey_removed',
  'person.login_approved': 'person.login_approved',
  'person.login_denied': 'person.login_denied',
  'join_token.created': 'join_token.created',
  'join_token.revoked': 'join_token.revoked',
  'join_token.misused': 'join_token.misused',
};

type Happened = Readonly<{ vm: string | null; op: string | null; type: string; data: EventData }>;

/** An event as the audit hears of it; `null` for one that is told by a receipt, or is none of its business. */
export function noticeOf({ vm, op, type, data }: Happened): Notice | null {
  const kind = kinds[type];
  if (kind === undefined) return null;
  const { operator, spent_ms: _, measured_by: __, ...said } = data;
  if (kind === 'operation.ended' && (data['n'] !== null || !isEnd(data['state'] as State))) return null;
  const by = typeof operator === 'string' ? operator : null;
  // Cut, so that no text of ours can be what the signer refuses to read.
  const cut = Object.entries(said).map(([name, value]) => [
    name,
    typeof value === 'string' ? value.slice(0, 200) : value,
  ]);
  return { t: 'notice', kind, op, operator: by, data: { ...(vm === null ? {} : { vm }), ...Object.fromEntries(cut) } };
}
