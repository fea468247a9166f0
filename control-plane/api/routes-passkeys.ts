// Registering a passkey: an operator who was invited on the host does this in their own browser, signed in as themselves. The
// signer keeps the passkey and judges the ceremony.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { appendEvent } from '../store/events.ts';
import { makingOnce } from './idempotency.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf } from './requests.ts';
import { ceremonyView, passkeyInvitation, passkeyRequest, passkeyView } from './schemas.ts';

export function passkeyRoutes(root: FastifyInstance, parts: ApiParts): void {
  const { signer, store, nowMs } = parts;
  const once = makingOnce(parts);
  const app = root.withTypeProvider<ZodTypeProvider>();

  app.post(
    '/v1/passkeys/options',
    { schema: { body: passkeyInvitation, response: { 200: ceremonyView } } },
    (request) => signer('passkey.options', { operator: operatorOf(request), ...request.body }),
  );

  app.post(
    '/v1/passkeys',
    { schema: { body: passkeyRequest, response: { 201: passkeyView } } },
    async (request, reply) => {
      const operator = operatorOf(request);
      const answer = await once<{ kid: string }>(request, async (keep) => {
        const { kid } = await signer('passkey.register', { operator, ...request.body });
        const event = { at: nowMs(), vm: null, op: null, type: 'operator.passkey', data: { operator, kid } };
        await store.write(async (trx) => {
          await appendEvent(trx, event);
          await keep(trx, kid, { kid });
        });
        return { kid };
      });
      return reply.status(201).send(answer);
    },
  );
}
