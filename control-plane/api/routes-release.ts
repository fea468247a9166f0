// Letting a held identity in again: an operator proves with a factor that exactly this machine shall be. Nothing else clears a
// quarantine.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { parseCanonical } from '../../protocol/canonical.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { fromBase64url } from '../../protocol/keys.ts';
import type { Params, SignerMethods } from '../signer/requests.ts';
import { releaseVm, type Vm } from '../store/vms.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf } from './requests.ts';
import { demandVm } from './routes-operations.ts';
import { emptyRequest, vmParams, vmView } from './schemas.ts';
import { releaseIntent, releaseRequest } from './schemas-installation.ts';
import { viewVm } from './views.ts';

export function releaseRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, signer, agents, nowMs, log } = parts;

  app.post(
    '/v1/vms/:vm/release-intent',
    { schema: { params: vmParams, body: emptyRequest, response: { 200: releaseIntent } } },
    async (request) => {
      const { project, agent } = demandHeld(await demandVm(parts, request.params.vm));
      return signer('release.build', { project, agent, operator: operatorOf(request) });
    },
  );

  app.post(
    '/v1/vms/:vm/release',
    { schema: { params: vmParams, body: releaseRequest, response: { 200: vmView, 202: vmView } } },
    async (request, reply) => {
      const operator = operatorOf(request);
      const vm = demandHeld(await demandVm(parts, request.params.vm));
      const { op, intent_hash, proof } = request.body;
      const { intent } = await signer('intent.show', { op, operator });
      demandAbout(intent, vm);
      const complete = await prove(parts, { op, intent_hash, operator, proof });
      if (complete) await store.write((trx) => releaseVm(trx, vm.id, operator, nowMs()));
      log.warn({ vm: vm.id, operator, held: vm.quarantine?.code, complete }, 'release of an identity proven');
      const view = viewVm(await demandVm(parts, vm.id), await agents.isOnline(vm.id), null);
      return reply.status(complete ? 200 : 202).send(view);
    },
  );
}

function demandHeld(vm: Vm): Vm {
  if (!vm.quarantine) throw new Failure('STATE_CONFLICT', { vm: vm.name, reason: 'not_held' });
  return vm;
}

const about = z.object({ act: z.literal('release'), agent: z.string() });

/** A proof for another machine, or for another act, releases nothing. */
function demandAbout(intent: string, { agent }: Vm): void {
  const said = about.safeParse(parseCanonical(fromBase64url(intent)));
  if (!said.success || said.data.agent !== agent) throw new Failure('AUTHZ_INVALID', { reason: 'intent' });
}

/** Whether nobody else has to. One proof, one release: an identity that is held again later needs another. */
async function prove({ signer }: ApiParts, asked: Params<SignerMethods, 'intent.prove'>): Promise<boolean> {
  try {
    return (await signer('intent.prove', asked)).complete;
  } catch (error) {
    if (codeOf(error) === 'STATE_CONFLICT') throw new Failure('AUTHZ_INVALID', { reason: 'used' });
    throw error;
  }
}
