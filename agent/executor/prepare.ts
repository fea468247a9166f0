// Getting ready for one operation while the operator still types: draws the nonce and the sealing key in this fresh
// process, looks at the machine without changing it, and says so in a signed `ready`.

import type { Code } from '../../protocol/codes.ts';
import { codeOf } from '../../protocol/failure.ts';
import { type SealingKey, sealingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { READY_TTL_S, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type Ready, ready as readySchema } from '../../protocol/session.ts';
import { signToken } from '../../protocol/token.ts';
import type { Account } from '../ports/accounts.ts';
import type { VncServer } from '../ports/vnc.ts';
import { demandIdle } from './conditions.ts';
import type { ExecutorParts } from './parts.ts';
import { ledgerOf } from './recorder.ts';

/** As many as `ready` has room for; one beyond them can still be named. */
const SERVERS_TOLD_MAX = 16;

/** What this process alone holds for its operation, until it ends. */
export type Prepared = Readonly<{
  op: string;
  cn: string;
  seal: SealingKey;
  /** Whether the nonce is past its time to live, by the monotonic clock. */
  expired(): boolean;
}>;

export async function prepare(
  parts: ExecutorParts,
  asked: Readonly<{ op: string; account: string | null }>,
): Promise<{ prepared: Prepared; token: string }> {
  await demandNothingOpen(parts);
  const seed = parts.random.bytes(32);
  const seal = await sealingKeyFromSeed(seed);
  seed.fill(0);
  const cn = toBase64url(parts.random.bytes(32));
  const startedMs = parts.clock.monotonicMs();
  const payload = await look(parts, asked, { cn, seal });
  const token = await signToken('lk-ready+jws', payload, parts.identity.ek);
  const expired = () => parts.clock.monotonicMs() - startedMs > READY_TTL_S * 1000;
  return { prepared: { op: asked.op, cn, seal, expired }, token };
}

async function demandNothingOpen({ openJournal }: ExecutorParts): Promise<void> {
  const journal = await openJournal('read');
  const ledger = ledgerOf(journal);
  await journal.close();
  demandIdle(ledger);
}

async function look(
  { accounts, vnc, environment, identity }: ExecutorParts,
  asked: Readonly<{ op: string; account: string | null }>,
  drawn: Readonly<{ cn: string; seal: SealingKey }>,
): Promise<Ready> {
  const [account, servers, { bootId }] = await Promise.all([
    accounts.resolve(asked.account).catch(codeOrThrow),
    vnc.list(),
    environment.observe(),
  ]);
  const found: Account | null = typeof account === 'string' ? null : account;
  // Said before the operator decides: some of it is what `unlock` is for.
  const warnings: Code[] = found ? [...(await accounts.obstacles(found).catch(noneFrom))] : [];
  if (found?.state === 'no_password') warnings.push('ACCOUNT_HAD_NO_PASSWORD');
  if (servers.length === 0) warnings.push('VNC_ABSENT');
  if (servers.some(({ effective }) => effective === VNCAUTH_BYTES)) warnings.push('VNC_TRUNCATED');
  return parseSchema(readySchema, {
    v: 1,
    op: asked.op,
    agent: identity.agent,
    cn: drawn.cn,
    seal: drawn.seal.jwk,
    ttl: READY_TTL_S,
    boot: bootId,
    account: found && { name: found.name, uid: found.uid, state: found.state },
    account_code: typeof account === 'string' ? account : null,
    vnc: servers.slice(0, SERVERS_TOLD_MAX).map(told),
    warnings,
  });
}

function told({ id, kind, effective, owner, reads, display }: VncServer): Ready['vnc'][number] {
  const more = { ...(reads ? { reads } : {}), ...(display ? { display } : {}) };
  return { server: id, kind, effective, uid: owner.uid, ...more };
}

/** An account that cannot be resolved is said in `ready`, with its code; a defect stays one. */
function codeOrThrow(error: unknown): Code {
  const code = codeOf(error);
  if (!code) throw error;
  return code;
}

/** What cannot be told is left out; a defect stays one. */
function noneFrom(error: unknown): readonly Code[] {
  codeOrThrow(error);
  return [];
}
