// The steps themselves, each in the same form: announce it durably, act, look at what came of it, make the outcome durable
// with its receipt. What a step found is decided by comparing, never by what the step was told.

import type { Code } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import { PASSWORD_GENERATED_LENGTH, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { generatePassword } from '../../protocol/password.ts';
import type { Receipt, Verified } from '../../protocol/receipt.ts';
import { sealSecret } from '../../protocol/seal.ts';
import { Secret } from '../../protocol/secret.ts';
import { environmentFault } from '../core/environment.ts';
import { changedEntries, filesChanged } from '../core/evidence.ts';
import type { AccountsEvidence, FileEvidence, StoredReceipt } from '../core/ledger.ts';
import { endOfInspection, endOfProof } from '../core/steps.ts';
import { reasonOf } from '../core/trouble.ts';
import type { Account } from '../ports/accounts.ts';
import { type Bench, type End, end, type Holding, verifiedSoFar } from './bench.ts';
import { cancelRequested } from './cancel.ts';
import { refusalOf, tryTo } from './conditions.ts';
import { proveVncAfterBoot } from './effects-vnc.ts';
import { logMarks, mark } from './marks.ts';
import type { ExecutorParts } from './parts.ts';

/** Generates what is to be generated, seals it to the operator, and makes the ciphertext durable before anything is set. */
export async function generate({ parts, recorder, op, holding }: Bench): Promise<StoredReceipt> {
  const sealed: { account?: string; vnc?: string } = {};
  const { work } = recorder.operation(op);
  const randomBytes = (count: number) => parts.random.bytes(count);
  for (const [slot, recipient] of holding?.recipients ?? []) {
    if (slot === 'vnc' && work?.vnc?.server === null) continue;
    const length = slot === 'vnc' && work?.vnc?.server?.kind === 'vncauth' ? VNCAUTH_BYTES : PASSWORD_GENERATED_LENGTH;
    const accountName = slot === 'account' ? work?.account?.name : undefined;
    const context = { common: parts.policy.commonPasswords, ...(accountName ? { accountName } : {}) };
    const forAccount = holding?.secrets.get('account');
    const isSame = slot === 'vnc' && work?.vnc?.secret === 'same';
    // A copy: each is overwritten by itself.
    const secret =
      isSame && forAccount ? Secret.ofBytes(forAccount.revealBytes()) : generatePassword(length, randomBytes, context);
    holding?.secrets.set(slot, secret);
    const seal = { op, agent: parts.identity.agent, dir: 'to-operator', slot } as const;
    sealed[slot] = await sealSecret(secret, seal, recipient, randomBytes);
  }
  return recorder.state(op, { state: 'SECRET_READY', code: null, detail: {}, sealed: sealed as Receipt['sealed'] }, {});
}

/** Sets the account's password and proves it by use. */
export async function setAccount({ parts, recorder, op, holding }: Bench): Promise<StoredReceipt | End> {
  const { accounts } = parts;
  const { work } = recorder.operation(op);
  const secret = holding?.secrets.get('account');
  if (!work?.account || !secret) throw new Failure('INTERNAL', { reason: 'no_account_secret' });
  const { name, uid } = work.account;
  const account = { name, uid, state: 'active' } as const;
  const before = await tryTo(() => accounts.fingerprint());
  if ('code' in before) return end('FAILED', before.code, before.details);
  // Of the account alone: a machine may have more of them than a record has room for.
  await recorder.append({ kind: 'begin', op, effect: 'account', before: only(before.value, name) });
  mark('begun');
  const set = await tryTo(() => accounts.setPassword(account, secret));
  if ('code' in set) parts.log.warn({ op, code: set.code, details: set.details }, 'the password program failed');
  else mark('in_force');
  const after = await tryTo(() => accounts.fingerprint());
  if ('code' in after) return end('PARTIAL', 'VERIFY_FAILED', after.details);
  const changed = changedEntries(before.value, after.value);
  const entry = after.value[name];
  if (!changed.includes(name)) {
    return 'code' in set
      ? end('FAILED', set.code, set.details)
      : end('FAILED', 'VERIFY_FAILED', { reason: 'unchanged' });
  }
  const doubt = await doubtOf(accounts, account, secret);
  mark('proven');
  // Where it could not be told what the program did, the entry may be one that the next power cut takes back.
  if ('code' in set && set.code === 'VERIFY_FAILED') return end('PARTIAL', 'VERIFY_FAILED', set.details);
  if (doubt) return end('PARTIAL', 'VERIFY_FAILED', doubt);
  if (changed.length > 1 || entry === undefined) return end('PARTIAL', 'VERIFY_FAILED', { reason: 'others_changed' });
  const verified = { ...verifiedSoFar(recorder.operation(op)), account: true };
  const receipt = await recorder.state(
    op,
    { state: 'PASSWORD_SET', code: null, detail: { account: name, verified } },
    { accountEntry: entry, verified },
  );
  // After the outcome is durable: whether it succeeds is told by what still keeps the owner out at the end.
  if (work.account.unlock) await tryTo(() => accounts.clearLockout(account));
  return receipt;
}

function only(entries: AccountsEvidence, name: string): AccountsEvidence {
  return Object.fromEntries(Object.entries(entries).filter(([found]) => found === name));
}

/** Why the new password is not proven; `null` where it is. A checker that cannot tell has proven nothing. */
async function doubtOf(
  accounts: ExecutorParts['accounts'],
  account: Account,
  secret: Secret,
): Promise<Failure['details'] | null> {
  const signsIn = await tryTo(() => Promise.all([accounts.accepts(account, secret), accounts.usable(account)]));
  if ('code' in signsIn) return signsIn.details;
  const [accepted, usable] = signsIn.value;
  if (!accepted) return { reason: 'not_accepted' };
  return usable ? null : { reason: 'not_usable' };
}

/**
 * What would still keep the account's owner out, asked when the operation ends: a reboot may have taken an obstacle away.
 * Said beside the end and never a part of it, so whatever cannot be told is left out.
 */
export async function obstaclesAtEnd({ parts, recorder, op }: Bench, { state }: End): Promise<readonly Code[]> {
  const account = recorder.operation(op).work?.account;
  if (!account || !['DONE', 'PARTIAL'].includes(state)) return [];
  const { name, uid } = account;
  const found = await tryTo(() => parts.accounts.obstacles({ name, uid, state: 'active' }));
  return 'value' in found ? found.value : [];
}

/** Asks for the reboot. The request itself is the last thing that happens: its receipt is durable before it. */
export async function requestReboot(
  bench: Bench,
  attempt: number,
  tell: (receipt: StoredReceipt) => void,
): Promise<End | undefined> {
  const { parts, recorder, op, boot } = bench;
  logMarks(parts.log, op);
  const fault = environmentFault(await parts.environment.observe(), parts.policy.rootfs);
  if (fault) {
    parts.log.warn({ op, reason: fault }, 'not rebooting: the machine would not come back as it is');
    return end('PARTIAL', 'REBOOT_DENIED', { reason: fault });
  }
  const detail = { boot_before: boot, attempt, verified: verifiedSoFar(recorder.operation(op)) };
  const receipt = await recorder.state(op, { state: 'REBOOTING', code: null, detail }, {});
  const stored = recorder.acknowledged(op, receipt.n);
  tell(receipt);
  await parts.power.warn("The system restarts now: its administrator's password was reset.");
  if (await cancelledMeanwhile(bench, stored)) return end('PARTIAL', 'REBOOT_CANCELLED');
  try {
    await parts.power.reboot();
  } catch (error) {
    const { code, details } = refusalOf(error);
    parts.log.warn({ op, code, details }, 'the reboot was refused');
    return end('PARTIAL', 'REBOOT_DENIED', details);
  }
  return undefined;
}

/** How long the control plane's acknowledgement of REBOOTING is waited for. */
const REBOOT_PAUSE_MS_MAX = 2_000;

/**
 * It shall be the last that is heard before the link goes down. Without a network it is sent again after the boot. This
 * is also the last moment in which a cancel stops anything.
 */
async function cancelledMeanwhile({ parts, recorder, op }: Bench, stored: AbortSignal): Promise<boolean> {
  const untilMs = parts.clock.monotonicMs() + REBOOT_PAUSE_MS_MAX;
  for (;;) {
    if (await cancelRequested(parts, recorder.operation(op))) return true;
    const leftMs = untilMs - parts.clock.monotonicMs();
    if (stored.aborted || leftMs <= 0) return false;
    await parts.clock.sleep(Math.min(REBOOT_LOOK_MS, leftMs), stored);
  }
}

const REBOOT_LOOK_MS = 500;

/** In another boot: is it the machine's own root, normally booted? */
export async function proveBoot({ parts, recorder, op, boot }: Bench): Promise<StoredReceipt | End> {
  const fault = environmentFault(await parts.environment.observe(), parts.policy.rootfs);
  if (fault) {
    parts.log.warn({ op, reason: fault }, 'the machine came back changed');
    return end('PARTIAL', 'BOOT_ENV_CHANGED', { reason: fault });
  }
  const operation = recorder.operation(op);
  const verified = { ...verifiedSoFar(operation), reboot: true };
  const detail = { boot_before: operation.rebootAskedIn ?? '', boot_after: boot, verified };
  return recorder.state(op, { state: 'BOOTED', code: null, detail }, { verified, bootAfter: boot });
}

/** After the boot, without any plaintext: the entries are unchanged, and the VNC server takes the stored secret. */
export async function proveSecrets({ parts, recorder, op }: Bench): Promise<End & { verified: Verified }> {
  const operation = recorder.operation(op);
  const before = verifiedSoFar(operation);
  const { work, finding } = operation;
  const name = work?.account?.name;
  const entries = await tryTo(() => parts.accounts.fingerprint());
  const account = name === undefined ? null : 'value' in entries && entries.value[name] === finding.accountEntry;
  const proof = work?.vnc?.server ? await proveVncAfterBoot(parts, operation) : null;
  const verified = { ...before, account, vnc: proof ? proof.state === 'verified' : before.vnc };
  const ending = endOfProof(operation, verified) as End;
  const reason = ending.code === 'VNC_UNVERIFIED' ? reasonOf(proof ?? {}) : {};
  return { ...ending, ...reason, verified, ...(proof ? { vncState: proof.state } : {}) };
}

/**
 * A process died between announcing an effect and its outcome: compare, and end by what is found. Where it cannot be told,
 * the answer is the cautious one: an operation that waited for a certain answer could stay open for ever.
 */
export async function inspect({ parts, recorder, op, boot }: Bench): Promise<End> {
  const { begun, work } = recorder.operation(op);
  if (begun?.effect === 'account') {
    const name = work?.account?.name ?? '';
    const now = await tryTo(() => parts.accounts.fingerprint());
    const changed = 'code' in now || changedEntries(only(begun.before, name), only(now.value, name)).length > 0;
    return endOfInspection('account', changed, true) as End;
  }
  const server = work?.vnc?.server;
  const now = server ? await tryTo(() => parts.vnc.files(server)) : { value: [] };
  // A live copy dies with its boot, so after another one it says nothing.
  const lasting = (files: readonly FileEvidence[]) =>
    boot === work?.boot ? files : files.filter(({ role }) => role === 'source');
  const changed = 'code' in now || filesChanged(lasting(begun?.before ?? []), lasting(now.value));
  const ending = endOfInspection('vnc', changed, work?.account != null) as End;
  return changed && 'value' in now ? { ...ending, vncState: 'written' } : ending;
}

/** Slots whose secrets this process still holds in clear are overwritten before it ends. */
export function wipe(holding: Holding | null): void {
  for (const secret of holding?.secrets.values() ?? []) secret.wipe();
}
