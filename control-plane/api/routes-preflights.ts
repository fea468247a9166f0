// Asking many machines whether they can be reset: one request, so many at a time, a line for each as it answers. The connection is
// the submission: whoever closes it has stopped what was not asked yet. It changes nothing, and needs no proof.

import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { codeOf } from '../../protocol/failure.ts';
import { isEnrolled, type Vm } from '../store/vms.ts';
import { chosen } from './bulk.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectOf } from './requests.ts';
import { CONCURRENCY } from './schemas-bulk.ts';
import { type PreflightLine, preflightsRequest } from './schemas-preflight.ts';
import { plainHeaders } from './stream.ts';
import { viewPreflight } from './views.ts';

export function preflightsRoutes(root: FastifyInstance, parts: ApiParts, stop: AbortSignal): void {
  const app = root.withTypeProvider<ZodTypeProvider>();

  app.post('/v1/preflights', { schema: { body: preflightsRequest } }, async (request, reply) => {
    const operator = operatorOf(request);
    const vms = await chosen(parts.store.db, projectOf(request), request.body);
    const write = begin(reply, stop);
    const waiting = [...vms];
    const askNext = async () => {
      for (let vm = waiting.shift(); vm; vm = waiting.shift()) {
        if (!write(await ask(parts, vm, operator))) return;
      }
    };
    await Promise.all(Array.from({ length: request.body.concurrency ?? CONCURRENCY }, askNext));
    reply.raw.end();
  });
}

/** Writes a line; whether anybody still listens. */
function begin(reply: FastifyReply, stop: AbortSignal): (line: PreflightLine) => boolean {
  const { raw } = reply;
  let gone = false;
  raw.on('close', () => {
    gone = true;
  });
  reply.hijack();
  raw.writeHead(200, { ...plainHeaders(reply), 'content-type': 'application/x-ndjson' });
  raw.flushHeaders();
  return (line) => {
    if (!gone) raw.write(`${JSON.stringify(line)}\n`);
    return !gone && !stop.aborted;
  };
}

/** What keeps one from answering is its line. */
async function ask({ agents, log }: ApiParts, vm: Vm, operator: string): Promise<PreflightLine> {
  const nothing = { vm: vm.id, vm_name: vm.name, can: { account: false, vnc: false }, answer: null };
  if (!isEnrolled(vm)) return { ...nothing, code: 'NOT_ENROLLED' };
  try {
    const answer = viewPreflight(vm, await agents.preflight(vm, operator));
    return { vm: vm.id, vm_name: vm.name, code: answer.code, can: answer.can, answer };
  } catch (error) {
    const code = codeOf(error);
    // The head is sent by now: a defect is a line, too.
    if (code === undefined) log.error({ vm: vm.id, defect: String(error) }, 'defect');
    return { ...nothing, code: code ?? 'INTERNAL' };
  }
}
