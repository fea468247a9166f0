// Giving a machine its identity for a join token. The token is taken in the transaction that makes the machine, so of two
// uses one wins; the same keys asking again for the identity that they have get it again.

import { Failure } from '../../protocol/failure.ts';
import { sha256Text, thumbprint } from '../../protocol/keys.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { newId, parseSchema } from '../../protocol/schema.ts';
import { type Enrol, type Enrolled, enrolEk, enrol as enrolSchema } from '../../protocol/session.ts';
import { onlyKey, payloadOf, signToken, verifyToken } from '../../protocol/token.ts';
import { freeName } from '../core/enrolment.ts';
import { appendEvent } from '../store/events.ts';
import { type JoinToken, joinTokenBySha256, stateOf, takeUse } from '../store/join-tokens.ts';
import { findOperation } from '../store/operations.ts';
import type { Write } from '../store/store.ts';
import {
  awaitedBy,
  type EnrolledVm,
  enrolAwaited,
  flagVm,
  insertVm,
  nameIsUsed,
  type Vm,
  vmByKey,
} from '../store/vms.ts';
import type { GatewayParts } from './parts.ts';

/** Verifies the request and answers the signed identity, and the root that the machine had; throws the code of the refusal. */
export async function enrolMachine(
  parts: GatewayParts,
  token: string,
  sn: string,
): Promise<Readonly<{ token: string; rootVersion: number }>> {
  const request = await verifyRequest(token, sn);
  const vm = await takeToken(parts, request);
  const answer: Enrolled = {
    v: 1,
    iss: parts.installation.iss,
    agent: vm.agent,
    project: vm.project,
    nonce: request.nonce,
    now: Math.floor(parts.nowMs() / 1000),
  };
  parts.log.info({ vm: vm.id, agent: vm.agent, name: vm.name }, 'enrolled');
  const { key } = await parts.authority.current();
  return { token: await signToken('lk-enrolled+jws', answer, key), rootVersion: request.root_ver ?? 1 };
}

/** The request is signed by the key that it brings, and the executor's key vouches for that key in this very request. */
async function verifyRequest(token: string, sn: string): Promise<Enrol> {
  const claimed = parseSchema(enrolSchema, payloadOf(token));
  const ikKid = await thumbprint(claimed.ik);
  const { payload } = await verifyToken(token, 'lk-enrol+jws', onlyKey(ikKid, claimed.ik));
  const request = parseSchema(enrolSchema, payload);
  const ekKid = await thumbprint(request.ek);
  const proof = await verifyToken(request.ek_proof, 'lk-enrol-ek+jws', onlyKey(ekKid, request.ek));
  const vouched = parseSchema(enrolEk, proof.payload);
  if (request.sn !== sn || vouched.ik_kid !== ikKid || vouched.nonce !== request.nonce || ikKid === ekKid) {
    throw new Failure('JOIN_TOKEN_INVALID', { reason: 'proof' });
  }
  return request;
}

async function takeToken(parts: GatewayParts, request: Enrol): Promise<Vm> {
  const [tokenSha256, ikKid] = [await sha256Text(request.join_token), await thumbprint(request.ik)];
  const outcome = await parts.store.write(async (trx) => {
    const [token, known] = [await joinTokenBySha256(trx, tokenSha256), await vmByKey(trx, ikKid)];
    // The same keys ask again for the identity that this token gave them: the answer was lost.
    if (token && known?.ek.x === request.ek.x && known.joinToken === token.id) return known;
    const wrong = token ? faultOf(token, request, parts.nowMs()) : 'JOIN_TOKEN_INVALID';
    if (!token || wrong || known) return refusal(trx, parts, token, wrong ?? 'JOIN_TOKEN_INVALID');
    const awaited = await awaitedBy(trx, token.id);
    const over = awaited && (await overBefore(trx, awaited));
    if (over) return refusal(trx, parts, token, over);
    const vm = await newVm(trx, parts, request, { ikKid, token, awaited });
    await (awaited ? enrolAwaited(trx, vm) : insertVm(trx, vm));
    await takeUse(trx, token, vm.id, parts.nowMs());
    return vm;
  });
  if (outcome instanceof Failure) throw outcome;
  return outcome;
}

type TokenFault = 'JOIN_TOKEN_USED' | 'JOIN_TOKEN_EXPIRED' | 'JOIN_TOKEN_INVALID';

/** Why this token does not admit this machine now. */
function faultOf(token: JoinToken, { instance_sha256 }: Enrol, now: number): TokenFault | null {
  const state = stateOf(token, now);
  if (state === 'used') return 'JOIN_TOKEN_USED';
  if (state === 'expired') return 'JOIN_TOKEN_EXPIRED';
  if (state === 'revoked') return 'JOIN_TOKEN_INVALID';
  return token.instance_sha256 === null || token.instance_sha256 === instance_sha256 ? null : 'JOIN_TOKEN_INVALID';
}

/** Why a machine that was registered may not come any more: the operation that gives it its passwords has ended without it. */
async function overBefore(trx: Write, { provision }: Vm): Promise<TokenFault | null> {
  const operation = provision && (await findOperation(trx, provision.op));
  if (!operation || !isEnd(operation.state)) return null;
  return operation.state === 'EXPIRED' ? 'JOIN_TOKEN_EXPIRED' : 'JOIN_TOKEN_INVALID';
}

/**
 * What was wrong, as a value: its alarm must be written, which a thrown error would roll back. A token for one machine that
 * is shown again may have been stolen before its first use: the machine that it made is to be looked at.
 */
async function refusal(
  trx: Write,
  { nowMs, log }: GatewayParts,
  token: JoinToken | null,
  code: TokenFault,
): Promise<Failure> {
  log.warn({ code, token: token?.id ?? null }, 'enrolment refused');
  if (token) {
    const data = { code, token: token.id };
    await appendEvent(trx, { at: nowMs(), vm: token.vm, op: null, type: 'join_token.misused', data });
    if (code === 'JOIN_TOKEN_USED' && token.uses_max === 1 && token.vm) await flagVm(trx, token.vm, code, nowMs());
  }
  return new Failure(code);
}

async function newVm(
  trx: Write,
  { randomBytes, nowMs }: GatewayParts,
  request: Enrol,
  { ikKid, token, awaited }: Readonly<{ ikKid: string; token: JoinToken; awaited: Vm | null }>,
): Promise<EnrolledVm> {
  const { id: joinToken, project } = token;
  const freshName = async () => freeName(token.name ?? request.facts?.hostname ?? 'vm', await nameIsUsed(trx, project));
  return {
    id: awaited?.id ?? newId('vm', randomBytes),
    agent: awaited?.agent ?? newId('agt', randomBytes),
    name: awaited?.name ?? (await freshName()),
    project,
    ik: request.ik,
    ikKid,
    ek: request.ek,
    machineSha256: request.machine_sha256,
    enrolledAt: nowMs(),
    lastSeen: null,
    boot: request.facts?.boot ?? null,
    facts: request.facts,
    agentVersion: request.facts?.agent_version ?? null,
    ctr: 0,
    jhead: null,
    flags: [],
    quarantine: null,
    labels: awaited?.labels ?? {},
    joinToken,
    provision: awaited?.provision ?? null,
    removed: false,
  };
}
