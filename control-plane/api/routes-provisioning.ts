// The routes of machines to come. One is registered together with its join token and the draft of the operation that sets its
// first passwords; from there on that operation is proven as every other one.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import { instanceSha256 } from '../../protocol/instance.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { newId } from '../../protocol/schema.ts';
import { type Material, materialOf } from '../core/join-material.ts';
import { type Draft, newOperation } from '../core/operation.ts';
import { appendEvent } from '../store/events.ts';
import { findJoinToken, insertJoinToken, type JoinToken, markRevoked, stateOf } from '../store/join-tokens.ts';
import { change, findOperation, insertOperation } from '../store/operations.ts';
import type { Write } from '../store/store.ts';
import { findVm, insertVm, isEnrolled, nameIsUsed, removeAwaited, type Vm } from '../store/vms.ts';
import { makingOnce } from './idempotency.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectOf, setTripwire } from './requests.ts';
import { demandVm } from './routes-operations.ts';
import { vmParams, vmView } from './schemas.ts';
import { type VmCreated, type VmRequest, vmCreated, vmRequest } from './schemas-provisioning.ts';
import { viewVm } from './views.ts';

const COME_S = 3_600;

export function provisioningRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, nowMs } = parts;
  setTripwire(root);
  const once = makingOnce(parts);

  app.post('/v1/vms', { schema: { body: vmRequest, response: { 201: vmCreated } } }, async (request, reply) => {
    const by = { operator: operatorOf(request), project: projectOf(request) };
    const made = await once<VmCreated>(request, (keep) =>
      // It shows the join token, which is kept nowhere.
      register(parts, by, request.body, (trx, vm) => keep(trx, vm, null)),
    );
    return reply.status(201).send(made);
  });

  app.delete('/v1/vms/:vm', { schema: { params: vmParams, response: { 200: vmView } } }, async (request) => {
    const { id } = await demandVm(parts, request.params.vm);
    await store.write(async (trx) => {
      const vm = await findVm(trx, id);
      // Of one that has come, what it is and what was done to it stays.
      if (!vm || isEnrolled(vm)) throw new Failure('STATE_CONFLICT', { reason: 'enrolled' });
      await takeBack(trx, vm, operatorOf(request), nowMs());
    });
    return viewVm(await demandVm(parts, id), false, null);
  });
}

type By = Readonly<{ operator: string; project: string }>;

async function register(
  { store, randomBytes, nowMs }: ApiParts,
  { operator, project }: By,
  asked: VmRequest,
  made: (trx: Write, vm: string) => Promise<void>,
): Promise<VmCreated> {
  const [at, text] = [nowMs(), `lkj_${toBase64url(randomBytes(32))}`];
  const [vm, agent] = [newId('vm', randomBytes), newId('agt', randomBytes)];
  const { ttl_s = COME_S, instance } = asked;
  const bound = instance === undefined ? null : await instanceSha256(instance);
  if (instance !== undefined && bound === null) throw new Failure('REQUEST_INVALID', { field: 'instance' });
  const token: JoinToken = {
    id: newId('tok', randomBytes),
    sha256: await sha256Text(text),
    name: asked.name,
    created_by: operator,
    created_at: at,
    expires_at: at + ttl_s * 1000,
    revoked_at: null,
    used_at: null,
    vm: null,
    project,
    uses_max: 1,
    uses: 0,
    instance_sha256: bound,
  };
  const draft = draftOf(asked, token.sha256);
  const operation = newOperation({ op: newId('op', randomBytes), vm, agent, project, operator, draft }, at);
  const awaited = awaitedVm({ id: vm, agent, project }, asked, { op: operation.op, token: token.id });
  await store.write(async (trx) => {
    if ((await nameIsUsed(trx, project))(asked.name)) throw new Failure('ALREADY_EXISTS', { vm: asked.name });
    await insertJoinToken(trx, token);
    await insertVm(trx, awaited);
    await insertOperation(trx, operation);
    const data = { token: token.id, operator };
    await appendEvent(trx, { at, vm, op: null, type: 'vm.registered', data: { name: asked.name, operator } });
    await appendEvent(trx, { at, vm, op: null, type: 'join_token.created', data });
    await made(trx, vm);
  });
  const created = { id: token.id, token: text };
  return {
    vm: viewVm(awaited, false, null),
    op: operation.op,
    join: { ...created, expires_at: new Date(token.expires_at).toISOString(), material: materialFor(created) },
  };
}

function draftOf(
  { account = null, vnc_initial = 'same', vnc_server = null, grace_s = 0 }: VmRequest,
  join: string,
): Draft {
  const mode = vnc_initial === 'same' ? 'same' : 'generated';
  return {
    account: { name: account, unlock: false, mode: 'generated' },
    // Nobody has anything open on a new machine's screen.
    vnc: vnc_initial === null ? null : { server: vnc_server, restart: true, mode },
    graceS: grace_s,
    joinSha256: join,
  };
}

function awaitedVm(
  named: Pick<Vm, 'id' | 'agent' | 'project'>,
  { name, labels = {}, account = null, vnc_initial = 'same' }: VmRequest,
  { op, token }: Readonly<{ op: string; token: string }>,
): Vm {
  return {
    ...named,
    name,
    ik: null,
    ek: null,
    ikKid: named.id,
    machineSha256: '',
    enrolledAt: null,
    lastSeen: null,
    boot: null,
    facts: null,
    agentVersion: null,
    ctr: 0,
    jhead: null,
    flags: [],
    quarantine: null,
    labels,
    joinToken: token,
    provision: { account, vncInitial: vnc_initial, op },
    removed: false,
  };
}

function materialFor(created: Readonly<{ id: string; token: string }>): VmCreated['join']['material'] {
  const files = (material: Material) => material.map(({ name = '', text }) => ({ name, text }));
  const nocloud = files(materialOf('nocloud', created));
  const user_data = nocloud.find(({ name }) => name === 'user-data')?.text ?? '';
  return { smbios: files(materialOf('smbios', created))[0]?.text ?? '', user_data, nocloud };
}

/** The token admits nobody any more, the operation is over, and the name is free. */
async function takeBack(trx: Write, { id, joinToken, provision }: Vm, operator: string, at: number): Promise<void> {
  const token = joinToken === null ? null : await findJoinToken(trx, joinToken);
  if (token && stateOf(token, at) === 'live') {
    await markRevoked(trx, token.id, at);
    await appendEvent(trx, { at, vm: id, op: null, type: 'join_token.revoked', data: { token: token.id, operator } });
  }
  const operation = provision && (await findOperation(trx, provision.op));
  if (operation && !isEnd(operation.state)) {
    await change(trx, operation, { t: 'end', state: 'CANCELLED', code: 'CANCELLED' }, at);
  }
  await removeAwaited(trx, id);
  await appendEvent(trx, { at, vm: id, op: null, type: 'vm.removed', data: { operator } });
}
