// From a token to an accepted operation or a refusal. The order of the checks is the protocol's; nothing of the machine is
// changed here, and the last act of an acceptance is its durable entry in the journal.

import { Failure } from '../../protocol/failure.ts';
import type { SecretSource, WorkIntent } from '../../protocol/intent.ts';
import { fromBase64url, sha256Text } from '../../protocol/keys.ts';
import { PASSWORD_GENERATED_LENGTH, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { assertPassword, passwordFault, vncAuthFault } from '../../protocol/password.ts';
import { roleKeys } from '../../protocol/root.ts';
import type { X25519Jwk } from '../../protocol/schema.ts';
import { openSecret, type Slot } from '../../protocol/seal.ts';
import type { Secret } from '../../protocol/secret.ts';
import { type VerifiedToken, verifyToken } from '../../protocol/token.ts';
import { authoriseWork, type CarriedIntent, type Order } from '../core/authorise.ts';
import type { Work } from '../core/ledger.ts';
import type { Account } from '../ports/accounts.ts';
import type { VncServer } from '../ports/vnc.ts';
import type { Holding } from './bench.ts';
import {
  awaitFirstBoot,
  chooseAccount,
  chooseVnc,
  demandIdle,
  demandNormalEnvironment,
  refusalOf,
} from './conditions.ts';
import { effectiveOf } from './effects-vnc.ts';
import { demandOperatorProof } from './operator-proof.ts';
import type { ExecutorParts } from './parts.ts';
import type { Prepared } from './prepare.ts';
import type { Recorder } from './recorder.ts';

/** Verifies the signed bytes in this, the privileged process; throws the token layer's codes. */
export async function verifyCommand({ roots }: ExecutorParts, token: string): Promise<VerifiedToken> {
  // The key's end is checked against the command's own time, in `authorise`, once that can be read.
  return verifyToken(token, 'lk-command+jws', roleKeys(await roots.newest(), 'command', null));
}

/** A verified command, and the intent that came beside it where it does not hold one. */
export type Received = Readonly<{ token: VerifiedToken; carried: string | undefined }>;

async function hashed(carried: string | undefined): Promise<CarriedIntent | undefined> {
  return carried === undefined ? undefined : { bytes: carried, sha256: await sha256Text(fromBase64url(carried)) };
}

/**
 * Accepts a verified command, or throws the code of its refusal. One that was accepted before carries the nonce of a process
 * that is gone, or comes while that process works, which then answers it with the stored receipts.
 */
export async function accept(
  parts: ExecutorParts,
  recorder: Recorder,
  prepared: Prepared,
  { token, carried }: Received,
): Promise<Holding> {
  const { op, cn } = prepared;
  const root = await parts.roots.newest();
  const addressee = { ...parts.identity, root, op, cn, expired: prepared.expired() };
  const order = authoriseWork(token, addressee, await hashed(carried));
  if (recorder.ledger.has(op)) throw new Failure('OP_CONFLICT');
  demandIdle(recorder.ledger);
  await demandOperatorProof(root, order);
  const boot = await demandNormalEnvironment(parts);
  if (order.intent.act === 'initialise') await awaitFirstBoot(parts, order.intent);
  const account = order.intent.account ? await chooseAccount(parts, order.intent.account) : null;
  const server = await lookForVnc(parts, order.intent);
  await parts.power.available();
  const holding = await unseal(parts, prepared, order);
  assertRules(parts, holding, account, server);
  await demandChangeableVnc(parts, holding, server);
  const work = describe(order, token.payloadSha256, boot, account, server, holding);
  const receipt = await recorder.sign(op, {
    state: 'ACCEPTED',
    code: null,
    detail: {
      ...(account ? { account: account.name } : {}),
      ...(server.found ? { vnc: server.found.id, ...effectiveOf(server.found) } : {}),
    },
    warnings: work.warnings,
    cmdSha256: work.cmdSha256,
    cn,
  });
  await recorder.append({ kind: 'accepted', op, work, receipt });
  return holding;
}

type VncChoice = Readonly<{ found: VncServer | null; any: boolean }>;

async function lookForVnc(parts: ExecutorParts, { account, vnc: asked }: WorkIntent): Promise<VncChoice> {
  const servers = await parts.vnc.list();
  const found = asked ? chooseVnc(parts, servers, { server: asked.server, alone: !account }) : null;
  return { found, any: servers.length > 0 };
}

/** What would stop the VNC step is a refusal now, while nothing is changed, and not half of a reset later. */
async function demandChangeableVnc({ vnc }: ExecutorParts, { secrets }: Holding, { found }: VncChoice): Promise<void> {
  if (!found) return;
  try {
    await vnc.demandChangeable(found, secrets.get('vnc'));
  } catch (error) {
    const { details } = refusalOf(error);
    if (details.reason !== 'unchanged') throw error;
    throw new Failure('PASSWORD_POLICY', { slot: 'vnc', reason: 'same_as_before' }, error);
  }
}

async function unseal(
  parts: ExecutorParts,
  prepared: Prepared,
  { command, intent }: Order<WorkIntent>,
): Promise<Holding> {
  const secrets = new Map<Slot, Secret>();
  const recipients = new Map<Slot, X25519Jwk>();
  const { op, seal } = prepared;
  const { agent } = parts.identity;
  for (const slot of ['account', 'vnc'] as const) {
    const source: SecretSource | 'same' | undefined = intent[slot]?.secret;
    const sealed = command.sealed?.[slot];
    const given = source === 'same' ? intent.account?.secret : source;
    if (given?.mode === 'generated') recipients.set(slot, given.recipient_jwk);
    if (source === 'same' || source?.mode !== 'typed') {
      if (sealed !== undefined) throw new Failure('AUTHZ_INVALID', { reason: `sealed_${slot}` });
      continue;
    }
    if (sealed === undefined || (await sha256Text(sealed)) !== source.sealed_sha256) {
      throw new Failure('AUTHZ_INVALID', { reason: `sealed_${slot}` });
    }
    secrets.set(slot, await openSecret(sealed, { op, agent, dir: 'to-agent', slot }, seal));
  }
  return { secrets, recipients };
}

function assertRules(
  { policy }: ExecutorParts,
  { secrets }: Holding,
  account: Account | null,
  { found }: VncChoice,
): void {
  const forAccount = secrets.get('account');
  const forVnc = secrets.get('vnc');
  const context = { common: policy.commonPasswords, ...(account ? { accountName: account.name } : {}) };
  if (forAccount) assertPassword(passwordFault(forAccount, context), 'account');
  if (forVnc) assertPassword(found?.kind === 'vncauth' ? vncAuthFault(forVnc) : passwordFault(forVnc), 'vnc');
  if (forAccount && forVnc && sameStart(forAccount, forVnc)) {
    throw new Failure('PASSWORD_POLICY', { slot: 'vnc', reason: 'same_as_account' });
  }
}

/** A VNC file gives its first 8 characters away to whoever reads it, so they must not be those of the account. */
function sameStart(a: Secret, b: Secret): boolean {
  return a.reveal().slice(0, VNCAUTH_BYTES) === b.reveal().slice(0, VNCAUTH_BYTES);
}

function describe(
  { command, intent }: Order<WorkIntent>,
  cmdSha256: string,
  boot: string,
  account: Account | null,
  { found, any }: VncChoice,
  { secrets }: Holding,
): Work {
  const vncSecret = intent.vnc && modeOf(intent.vnc.secret);
  const vncLength = vncSecret === 'same' ? PASSWORD_GENERATED_LENGTH : (secrets.get('vnc')?.length ?? 0);
  const truncated = found?.effective === VNCAUTH_BYTES && vncLength > VNCAUTH_BYTES;
  return {
    cmdSha256,
    cn: command.cn,
    boot,
    graceS: intent.reboot.grace_s,
    account:
      account && intent.account
        ? { name: account.name, uid: account.uid, unlock: intent.account.unlock, secret: intent.account.secret.mode }
        : null,
    vnc: intent.vnc && vncSecret ? { server: found, secret: vncSecret, restart: intent.vnc.restart } : null,
    vncAbsent: !any && !intent.vnc,
    warnings: [
      ...(account?.state === 'no_password' ? ['ACCOUNT_HAD_NO_PASSWORD'] : []),
      ...(any ? [] : ['VNC_ABSENT']),
      ...(truncated ? ['VNC_TRUNCATED'] : []),
      ...(vncSecret === 'same' && found?.kind === 'vncauth' ? ['VNC_SHARES_ACCOUNT_PASSWORD'] : []),
    ],
  };
}

function modeOf(source: SecretSource | 'same'): SecretSource['mode'] | 'same' {
  return source === 'same' ? source : source.mode;
}
