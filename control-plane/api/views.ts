// Records as the API shows them. Pure; what is not shown here does not leave the store.

import { codes, isCode } from '../../protocol/codes.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { canReset, checkText, readPreflight } from '../../protocol/preflight.ts';
import { reasonOf } from '../../protocol/reasons.ts';
import { payloadOf } from '../../protocol/token.ts';
import { readyEndsAt } from '../core/due.ts';
import { awaitsSecond, type Operation } from '../core/operation.ts';
import type { StoredEvent } from '../store/events.ts';
import { type JoinToken, stateOf } from '../store/join-tokens.ts';
import type { StoredReceipt } from '../store/operations.ts';
import type { StoredPreflight } from '../store/preflights.ts';
import type { EnrolledVm, Vm } from '../store/vms.ts';
import type { EventView, OperationView, VmView } from './schemas.ts';
import type { JoinTokenView } from './schemas-installation.ts';
import type { PreflightView } from './schemas-preflight.ts';

const iso = (ms: number): string => new Date(ms).toISOString();
const isoOrNull = (ms: number | null): string | null => (ms === null ? null : iso(ms));

export function viewVm(vm: Vm, online: boolean, busy: string | null): VmView {
  return {
    id: vm.id,
    agent: vm.agent,
    name: vm.name,
    project: vm.project,
    online,
    enrolled_at: isoOrNull(vm.enrolledAt),
    last_seen: isoOrNull(vm.lastSeen),
    boot: vm.boot,
    agent_version: vm.agentVersion,
    facts: vm.facts,
    flags: [...vm.flags],
    quarantine: vm.quarantine === null ? null : { code: vm.quarantine.code, since: iso(vm.quarantine.since) },
    labels: { ...vm.labels },
    ik: vm.ik,
    ek: vm.ek,
    provision: vm.provision && {
      account: vm.provision.account,
      vnc_initial: vm.provision.vncInitial,
      op: vm.provision.op,
    },
    removed: vm.removed,
    busy,
  };
}

export function viewPreflight(vm: EnrolledVm, { at, operator, code, token }: StoredPreflight): PreflightView {
  const said = token === null ? null : readPreflight(payloadOf(token));
  return {
    vm: vm.id,
    vm_name: vm.name,
    at: iso(at),
    operator,
    code,
    can: said ? canReset(said.checks) : { account: false, vnc: false },
    checks: (said?.checks ?? []).map((check) => ({
      name: check.name,
      verdict: check.verdict,
      code: check.code ?? null,
      reason: check.reason ?? null,
      about: check.about ?? null,
      ...checkText(check),
    })),
    left_out: said?.left_out ?? 0,
    token,
    ek: vm.ek,
  };
}

/** What the last receipt's reason advises, which is nearer than its code's. */
function hintOf(receipts: readonly StoredReceipt[]): string | null {
  const last = receipts.at(-1);
  const word = last?.detail['reason'];
  return (typeof word === 'string' ? reasonOf(word, last?.code ?? null)?.hint : null) ?? null;
}

export function viewOperation(
  operation: Operation,
  vm: Vm,
  receipts: readonly StoredReceipt[],
  now: number,
): OperationView {
  const { code, draft, ready, seen, intent } = operation;
  const known = code !== null && isCode(code) ? codes[code] : null;
  const readyUntil = ready === null ? null : readyEndsAt(ready.at);
  const live = ready !== null && readyUntil !== null && now <= readyUntil;
  return {
    op: operation.op,
    vm: operation.vm,
    vm_name: vm.name,
    agent: operation.agent,
    project: operation.project,
    act: draft.joinSha256 === undefined ? 'reset' : 'initialise',
    state: operation.state,
    bulk: operation.bulk?.op ?? null,
    ended: isEnd(operation.state),
    approved: operation.approvedAt !== null,
    approved_at: isoOrNull(operation.approvedAt),
    awaits_second: awaitsSecond(operation),
    code,
    sentence: known?.sentence ?? null,
    hint: hintOf(receipts) ?? known?.hint ?? null,
    warnings: [...operation.warnings],
    overdue: operation.overdue,
    reason: operation.reason,
    operator: operation.operator,
    account: viewAccount(operation),
    vnc: draft.vnc,
    vnc_servers: [...(seen?.vnc ?? [])],
    ready: live ? ready.token : null,
    ready_expires_at: live ? iso(readyUntil) : null,
    ek: vm.ek,
    intent_hash: intent?.hash ?? null,
    not_before: draft.notBeforeS === undefined ? null : iso(draft.notBeforeS * 1000),
    not_after: isoOrNull(intent && intent.notAfterS * 1000),
    verified: operation.verified,
    vnc_state: operation.vncState ?? null,
    gap: operation.gap ?? null,
    boot_before: operation.bootBefore,
    boot_after: operation.bootAfter,
    grace_s: draft.graceS,
    grace_until: isoOrNull(operation.graceUntil),
    receipts: receipts.map(({ n, state, code: receiptCode, at, detail }) => ({
      n,
      state: state as OperationView['state'],
      code: receiptCode,
      at: iso(at),
      detail,
    })),
    state_since: iso(operation.entered.at),
    state_ms: Math.max(0, now - operation.entered.at),
    times: operation.times.map(({ measuredBy, ...time }) => ({ ...time, measured_by: measuredBy })),
    sealed: operation.sealed === null ? null : { ...operation.sealed },
    collected: operation.collectedAt !== null,
    created_at: iso(operation.createdAt),
    updated_at: iso(operation.updatedAt),
    ended_at: isoOrNull(operation.endedAt),
  };
}

function viewAccount({ draft, seen, account }: Operation): OperationView['account'] {
  if (draft.account === null) return null;
  const { name, unlock, mode } = draft.account;
  return {
    name: account ?? seen?.account?.name ?? name,
    uid: seen?.account?.uid ?? null,
    state: seen?.account?.state ?? null,
    code: seen?.accountCode ?? null,
    mode,
    unlock,
  };
}

export function viewEvent({ id, at, vm, op, type, data }: StoredEvent): EventView {
  return { id, at: iso(at), vm, op, type: type as EventView['type'], data: { ...data } };
}

export function viewJoinToken(token: JoinToken, now: number): JoinTokenView {
  return {
    id: token.id,
    name: token.name,
    created_at: iso(token.created_at),
    expires_at: iso(token.expires_at),
    state: stateOf(token, now),
    uses: token.uses,
    uses_max: token.uses_max,
    bound: token.instance_sha256 !== null,
    used_at: isoOrNull(token.used_at),
    vm: token.vm,
  };
}
