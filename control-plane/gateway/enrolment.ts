// Giving a machine its identity for a join token. The token is taken in the transaction that makes the machine, so of two
// uses one wins; the same keys asking again for the identity that they have get it again.

import { Failure } from '../../protocol/failure.ts';
import { sha256Text, thumbprint } from '../../protocol/keys.ts';
import { newId, parseSchema } from '../../protocol/schema.ts';
import { type Enrol, type Enrolled, enrolEk, enrol as enrolSchema } from '../../protocol/session.ts';
import { onlyKey, payloadOf, signToken, verifyToken } from '../../protocol/token.ts';
import { freeName } from '../core/enrolment.ts';
import { appendEvent } from '../store/events.ts';
import { type JoinToken, joinTokenBySha256, markUsed, stateOf } from '../store/join-tokens.ts';
import type { Write } from '../store/store.ts';
import { insertVm, nameIsUsed, type Vm, vmByKey } from '../store/vms.ts';
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
    const state = token ? stateOf(token, parts.nowMs()) : null;
    if (token && known && known.ek.x === request.ek.x && (state === 'live' || token.vm === known.id)) {
      if (state === 'live') await markUsed(trx, token.id, known.id, parts.nowMs());
      return known;
    }
    if (!token || state !== 'live' || known) return refusal(trx, parts, token, known);
    const vm = await newVm(trx, parts, request, { ikKid, name: token.name });
    await insertVm(trx, vm);
    await markUsed(trx, token.id, vm.id, parts.nowMs());
    return vm;
  });
  if (outcome instanceof Failure) throw outcome;
  return outcome;
}

/** What was wrong, as a value: its alarm must be written, which a thrown error would roll back. */
async function refusal(
  trx: Write,
  { nowMs, log }: GatewayParts,
  token: JoinToken | null,
  known: Vm | null,
): Promise<Failure> {
  const state = token && stateOf(token, nowMs());
  const code = state === 'used' ? 'JOIN_TOKEN_USED' : state === 'expired' ? 'JOIN_TOKEN_EXPIRED' : 'JOIN_TOKEN_INVALID';
  log.warn({ code, token: token?.id ?? null, state, keyKnown: known !== null }, 'enrolment refused');
  if (token) {
    await appendEvent(trx, {
      at: nowMs(),
      vm: token.vm,
      op: null,
      type: 'join_token.misused',
      data: { code, token: token.id },
    });
  }
  return new Failure(code);
}

async function newVm(
  trx: Write,
  { installation, randomBytes, nowMs }: GatewayParts,
  request: Enrol,
  given: Readonly<{ ikKid: string; name: string | null }>,
): Promise<Vm> {
  const { project } = installation;
  return {
    id: newId('vm', randomBytes),
    agent: newId('agt', randomBytes),
    name: freeName(given.name ?? request.facts?.hostname ?? 'vm', await nameIsUsed(trx, project)),
    project,
    ik: request.ik,
    ikKid: given.ikKid,
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
    labels: {},
  };
}
