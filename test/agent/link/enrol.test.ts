// Enrolment: both keys are proven, the join token is shown once, and only the right answer makes an identity.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Enrolment, enrol } from '../../../agent/link/enrol.ts';
import { readLinkIdentity, readProgress, writeProgress } from '../../../agent/link/identity.ts';
import { RootShelf } from '../../../agent/root-shelf.ts';
import type { SigningKey } from '../../../protocol/keys.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { type Enrol, enrolEk, enrol as enrolSchema, type UpFrame } from '../../../protocol/session.ts';
import { onlyKey, signToken, verifyToken } from '../../../protocol/token.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { AGENT, bytes32Text, INSTALLATION, keys, NOW_S, sampleRoot } from '../../protocol/samples.ts';
import { randomFake } from '../fakes/random-fake.ts';
import { ControlPlane } from './control-plane.ts';

const planes: ControlPlane[] = [];
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-enrol-'));
});
afterAll(async () => {
  await Promise.all(planes.map((plane) => plane.close()));
  await rm(folder, { recursive: true, force: true });
});

async function enrolment(): Promise<{ plane: ControlPlane; asked: Enrolment }> {
  const plane = new ControlPlane();
  planes.push(plane);
  const asked: Enrolment = {
    ik: keys.ik,
    ek: keys.ek,
    roots: new RootShelf(join(folder, `roots-${planes.length}`), sampleRoot()),
    addresses: [{ url: await plane.listen(), caPem: '' }],
    joinToken: `lkj_${bytes32Text(0x70)}`,
    machineSha256: bytes32Text(0x71),
    instanceSha256: null,
    facts: null,
    random: randomFake('enrol'),
  };
  return { plane, asked };
}

/** Answers one enrolment, changed as told; gives what was asked for and how it went. */
async function answered(changes: object, key: SigningKey = keys.session) {
  const { plane, asked } = await enrolment();
  const went = enrol(asked).catch((error: unknown) => error);
  const visitor = await plane.visitor();
  visitor.send({ t: 'challenge', sn: bytes32Text(0x33) });
  const { token } = (await visitor.next('enrol')) as Extract<UpFrame, { t: 'enrol' }>;
  const { payload } = await verifyToken(token, 'lk-enrol+jws', onlyKey(keys.ik.kid, keys.ik.jwk));
  const request: Enrol = parseSchema(enrolSchema, payload);
  const answer = {
    v: 1,
    iss: INSTALLATION,
    agent: AGENT,
    project: 'default',
    nonce: request.nonce,
    now: NOW_S,
    ...changes,
  };
  visitor.send({ t: 'enrolled', token: await signToken('lk-enrolled+jws', answer, key) });
  const result = await went;
  return { request, result, code: await codeFrom(() => (result instanceof Error ? Promise.reject(result) : result)) };
}

describe('enrolment', () => {
  test('is asked for with both keys, each of which vouches for the request', async () => {
    const { request, result } = await answered({});
    expect(result).toMatchObject({ agent: AGENT, project: 'default' });
    expect(request).toMatchObject({ sn: bytes32Text(0x33), ik: keys.ik.jwk, ek: keys.ek.jwk });
    const proof = await verifyToken(request.ek_proof, 'lk-enrol-ek+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
    expect(parseSchema(enrolEk, proof.payload)).toEqual({ v: 1, ik_kid: keys.ik.kid, nonce: request.nonce });
  });

  test.each<[string, string, object, SigningKey]>([
    ['for another request', 'NONCE_UNKNOWN', { nonce: bytes32Text(1) }, keys.session],
    ['of another installation', 'ISS_MISMATCH', { iss: INSTALLATION.replace(/3$/, '4') }, keys.session],
    ['with an unknown member', 'SCHEMA_INVALID', { admin: true }, keys.session],
    ['by the command key', 'KID_UNKNOWN', {}, keys.command],
    ['by a key that no root lists', 'KID_UNKNOWN', {}, keys.spare],
    ['by a key past its end', 'KEY_EXPIRED', { now: NOW_S + 10_000_000 }, keys.session],
  ])('does not believe an answer %s', async (_, code, changes, key) => {
    expect((await answered(changes, key)).code).toBe(code);
  });

  test('passes on why it was refused', async () => {
    for (const code of ['JOIN_TOKEN_USED', 'JOIN_TOKEN_EXPIRED', 'RATE_LIMITED']) {
      const { plane, asked } = await enrolment();
      const went = codeFrom(() => enrol(asked));
      const visitor = await plane.visitor();
      visitor.send({ t: 'challenge', sn: bytes32Text(0x33) });
      await visitor.next('enrol');
      visitor.send({ t: 'error', code });
      expect(await went).toBe(code);
    }
  });

  test('shows the token to no one who does not challenge', async () => {
    const { plane, asked } = await enrolment();
    const went = codeFrom(() => enrol(asked));
    const visitor = await plane.visitor();
    visitor.send({ t: 'error', code: 'RATE_LIMITED' });
    expect(await went).toBe('SERVER_UNREACHABLE');
    expect(visitor.frames).toEqual([]);
  });
});

describe('the link’s own files', () => {
  test('that are missing mean that the machine is not enrolled', async () => {
    expect(await codeFrom(() => readLinkIdentity(join(folder, 'absent'), { id: 'one', uuid: '' }))).toBe(
      'NOT_ENROLLED',
    );
  });
  test('that are damaged are an error, and never a fresh start', async () => {
    await writeFile(join(folder, 'progress.json'), '{');
    expect(await codeFrom(() => readProgress(folder))).toBe('CONFIG_INVALID');
    await writeFile(join(folder, 'progress.json'), '{"v":1,"ctr":-1,"now":0}');
    expect(await codeFrom(() => readProgress(folder))).toBe('SCHEMA_INVALID');
  });
  test('keep the counter and the time', async () => {
    await writeProgress(folder, { ctr: 7, now: NOW_S });
    expect(await readProgress(folder)).toEqual({ ctr: 7, now: NOW_S });
  });
  test('that were never written mean that nothing was stored yet', async () => {
    expect(await readProgress(join(folder, 'absent'))).toEqual({ ctr: 0, now: 0 });
  });
});
