// What the control plane saw, as it comes into the audit: machines with their keys, receipts, and its own word. A receipt is proven
// here once more, with the key that the signer itself knows, so that a control plane that lies can leave out and not invent.

import { codes } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { thumbprint } from '../../protocol/keys.ts';
import { RECEIPT_GENESIS, type Receipt, receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { onlyKey, payloadOf, verifyToken } from '../../protocol/token.ts';
import { RECEIPTS_MAX } from '../core/receive.ts';
import { auditRefusal, spend } from './limits.ts';
import {
  ekOf,
  findEk,
  insertMachine,
  isCommanded,
  lastLink,
  putReceipt,
  type ReceiptVerdict,
  verdictOn,
} from './machine-records.ts';
import type { SignerParts } from './parts.ts';
import type { Params, Result, Seen, SignerMethods } from './requests.ts';

type Item<T extends Seen['t']> = Extract<Seen, { t: T }>;

/** One after the other: what a receipt is judged by may be the item before it. */
export async function takeSeen(
  parts: SignerParts,
  { items }: Params<SignerMethods, 'audit.take'>,
): Promise<Result<SignerMethods, 'audit.take'>> {
  const { ledger, log, nowS } = parts;
  for (const item of items) {
    try {
      await take(parts, item);
    } catch (error) {
      const code = codeOf(error);
      // Nothing is wrong with an item of which no row can be sealed or stored now: it is told again.
      if (code === undefined || code === 'RATE_LIMITED' || codes[code].kind !== 'refusal') throw error;
      // It comes again and again otherwise, and holds up what follows it.
      log.warn({ code, what: item.t, details: (error as Failure).details }, 'alarm: told what does not hold');
      const data = { what: item.t, code, ...(item.t === 'machine' ? { agent: item.agent } : {}) };
      auditRefusal(ledger, 'told', { at: nowS(), kind: 'told.refused', data });
    }
  }
  return {};
}

async function take(parts: SignerParts, item: Seen): Promise<void> {
  switch (item.t) {
    case 'machine':
      return takeMachine(parts, item);
    case 'receipt':
      return takeReceipt(parts, item);
    case 'notice': {
      const { kind, op, operator, data } = item;
      const named = { op: op ?? undefined, operator: operator ?? undefined };
      const { ledger, nowS } = parts;
      ledger.transaction(() => {
        // The control plane's bare word: no flood of it may bury what was proven.
        spend(ledger, 'notice', kind, nowS());
        ledger.audit({ at: nowS(), kind, ...named, data });
      });
    }
  }
}

/** A machine has one key for as long as it is that machine. */
function takeMachine(
  { ledger, nowS }: SignerParts,
  { agent, vm, project, ik, ek, join_sha256 }: Item<'machine'>,
): void {
  ledger.transaction(() => {
    const known = findEk(ledger, agent);
    if (known?.x === ek.x) return;
    if (known) throw new Failure('ALREADY_EXISTS', { agent });
    const at = nowS();
    insertMachine(ledger, { agent, ek, join: join_sha256 ?? null, at });
    const joined = join_sha256 === undefined ? {} : { join_sha256 };
    ledger.audit({ at, kind: 'machine.enrolled', data: { agent, vm, project, ik, ek, ...joined } });
  });
}

async function takeReceipt({ ledger, nowS }: SignerParts, { token }: Item<'receipt'>): Promise<void> {
  // A claim until the signature was checked with the key of the machine that it names.
  const { agent } = parseSchema(receiptSchema, payloadOf(token));
  const ek = ekOf(ledger, agent);
  const { payload, payloadSha256 } = await verifyToken(token, 'lk-receipt+jws', onlyKey(await thumbprint(ek), ek));
  const receipt = parseSchema(receiptSchema, payload);
  ledger.transaction(() => {
    const { op, n, state, code } = receipt;
    const before = verdictOn(ledger, payloadSha256);
    if (before === 'recorded') return;
    demandCommanded(ledger, receipt);
    const last = lastLink(ledger, op, agent);
    const verdict = judge(receipt, last);
    if (verdict === before) return;
    putReceipt(ledger, { op, agent, n, sha256: payloadSha256, verdict });
    const data = {
      agent,
      n,
      state,
      code,
      sha256: payloadSha256,
      ...(verdict === 'recorded' ? {} : { after: last?.n ?? 0 }),
    };
    ledger.audit({ at: nowS(), kind: `receipt.${verdict}`, op, data: { ...data, token } });
  });
}

/** Nothing is believed to be missing that the machine did not sign the successor of. */
function judge({ n, prev }: Receipt, last: Readonly<{ n: number; sha256: string }> | null): ReceiptVerdict {
  const next = (last?.n ?? 0) + 1;
  if (n > next) return 'gap';
  return n === next && prev === (last?.sha256 ?? RECEIPT_GENESIS) ? 'recorded' : 'fork';
}

/** A refusal may name other bytes, when the command was altered on its way; its nonce still says which one it was. */
function demandCommanded(ledger: SignerParts['ledger'], { op, agent, n, state, cmd_sha256, cn }: Receipt): void {
  if (n > RECEIPTS_MAX) throw new Failure('AUTHZ_INVALID', { reason: 'too_many', op, n });
  if (isCommanded(ledger, { op, agent, by: 'cmd_sha256', value: cmd_sha256 })) return;
  const isRefusal = n === 1 && state === 'REFUSED' && isCommanded(ledger, { op, agent, by: 'cn', value: cn });
  if (!isRefusal) throw new Failure('AUTHZ_INVALID', { reason: 'command', op, n });
}
