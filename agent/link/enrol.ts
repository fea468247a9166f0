// Getting an identity: makes this machine's keys, shows the join token once, and keeps what the control plane answered.
// Runs as root before the link's first start; a try that was cut off is taken up again with the same keys.

import { isCode } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { type SigningKey, toBase64url } from '../../protocol/keys.ts';
import { roleKeys } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type Enrol, type Enrolled, enrolled as enrolledSchema, type Facts } from '../../protocol/session.ts';
import { signToken, verifyToken } from '../../protocol/token.ts';
import type { Random } from '../ports/random.ts';
import type { RootShelf } from '../root-shelf.ts';
import { expectChallenge, learnRoots } from './handshake.ts';
import { type Address, ControlPlaneSocket } from './socket.ts';

export type Enrolment = Readonly<{
  ik: SigningKey;
  ek: SigningKey;
  roots: RootShelf;
  addresses: readonly Address[];
  joinToken: string;
  machineSha256: string;
  /** `null` where the platform gave the machine no identity. */
  instanceSha256: string | null;
  facts: Facts | null;
  random: Random;
}>;

/** Asks each address in turn; throws the code of the last refusal. */
export async function enrol(enrolment: Enrolment): Promise<Enrolled> {
  let last: unknown = new Failure('TRUST_INVALID', { field: 'url' });
  for (const address of enrolment.addresses) {
    try {
      return await enrolAt(address, enrolment);
    } catch (error) {
      if (!codeOf(error)) throw error;
      last = error;
    }
  }
  throw last;
}

async function enrolAt(address: Address, enrolment: Enrolment): Promise<Enrolled> {
  const socket = await ControlPlaneSocket.open(address);
  try {
    const nonce = toBase64url(enrolment.random.bytes(32));
    const sn = await expectChallenge(socket);
    const known = await enrolment.roots.newest();
    socket.send({ t: 'enrol', token: await request(enrolment, { sn, nonce, root_ver: known.version }) });
    const { frame, root } = await learnRoots(socket, known, (document) => enrolment.roots.add(document));
    if (frame?.t === 'error') throw new Failure(isCode(frame.code) ? frame.code : 'JOIN_TOKEN_INVALID');
    if (frame?.t !== 'enrolled') throw new Failure('SERVER_UNREACHABLE', { reason: 'no_answer' });
    const { header, payload } = await verifyToken(frame.token, 'lk-enrolled+jws', roleKeys(root, 'session', null));
    const answer = parseSchema(enrolledSchema, payload);
    roleKeys(root, 'session', answer.now)(header.kid);
    if (answer.iss !== root.iss) throw new Failure('ISS_MISMATCH');
    if (answer.nonce !== nonce) throw new Failure('NONCE_UNKNOWN', { reason: 'enrolled' });
    return answer;
  } finally {
    socket.terminate();
  }
}

async function request(
  enrolment: Enrolment,
  { sn, nonce, root_ver }: Readonly<{ sn: string; nonce: string; root_ver: number }>,
): Promise<string> {
  const { ik, ek, joinToken, machineSha256, instanceSha256: instance, facts } = enrolment;
  const payload: Enrol = {
    v: 1,
    join_token: joinToken,
    sn,
    root_ver,
    nonce,
    ik: ik.jwk,
    ek: ek.jwk,
    ek_proof: await signToken('lk-enrol-ek+jws', { v: 1, ik_kid: ik.kid, nonce }, ek),
    machine_sha256: machineSha256,
    ...(instance === null ? {} : { instance_sha256: instance }),
    facts,
  };
  return signToken('lk-enrol+jws', payload, ik);
}
