// The routes of machines: which there are, chosen by filters, and the labels that they are chosen by.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { appendEvent } from '../store/events.ts';
import { ownerOf, setOwner } from '../store/owners.ts';
import { listVms } from '../store/selection.ts';
import { busyVms, findVm, setLabels, type Vm } from '../store/vms.ts';
import { demandMatch } from './etags.ts';
import { pageOf } from './pages.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectsOf } from './requests.ts';
import { demandVm } from './routes-operations.ts';
import { type VmView, vmParams, vmView } from './schemas.ts';
import { isWithinLabels, ownerView, type VmChange, vmChange, vmList, vmQuery } from './schemas-lists.ts';
import { filterOf } from './selectors.ts';
import { viewVm } from './views.ts';

export function vmRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store } = parts;

  app.get('/v1/vms', { schema: { querystring: vmQuery, response: { 200: vmList } } }, async (request) => {
    const { query } = request;
    const filter = filterOf(projectsOf(request), query);
    const page = await pageOf('vms', query, {
      place: z.string(),
      read: (after, limit) => listVms(store.db, { ...filter, after, limit }),
      placeOf: ({ id }) => id,
    });
    return { items: await viewVms(parts, page.items), next: page.next };
  });

  app.get('/v1/vms/:vm', { schema: { params: vmParams, response: { 200: vmView } } }, async ({ params }) =>
    show(parts, await demandVm(parts, params.vm)),
  );

  app.patch(
    '/v1/vms/:vm',
    { schema: { params: vmParams, body: vmChange, response: { 200: vmView } } },
    async (request) => {
      const { id } = await demandVm(parts, request.params.vm);
      const by = { operator: operatorOf(request), at: parts.nowMs() };
      const shown = await show(parts, await demandVm(parts, id));
      await store.write(async (trx) => {
        const vm = await findVm(trx, id);
        if (!vm) throw new Failure('NOT_FOUND', { what: 'vm' });
        // Somebody else may have changed meanwhile what this writes.
        demandMatch(request, { ...shown, labels: { ...vm.labels } });
        await setLabels(trx, id, changed(vm, request.body), by);
      });
      return show(parts, await demandVm(parts, id));
    },
  );

  const owner = '/v1/vms/:vm/owner';
  app.get(owner, { schema: { params: vmParams, response: { 200: ownerView } } }, async ({ params }) => ({
    email: await ownerOf(store.db, (await demandVm(parts, params.vm)).id),
  }));

  app.post(owner, { schema: { params: vmParams, body: ownerView, response: { 200: ownerView } } }, async (request) => {
    const { id } = await demandVm(parts, request.params.vm);
    const { email } = request.body;
    const data = { operator: operatorOf(request), named: email !== null };
    await store.write(async (trx) => {
      await setOwner(trx, id, email);
      // Whose address it is stays out of a history that receivers of webhooks read.
      await appendEvent(trx, { at: parts.nowMs(), vm: id, op: null, type: 'vm.owner', data });
    });
    return { email };
  });
}

/** Throws `REQUEST_INVALID` for more labels than a machine may have. */
function changed({ labels: before }: Vm, { labels = {} }: VmChange): Vm['labels'] {
  const entries = Object.entries({ ...before, ...labels }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  const after = Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  if (!isWithinLabels(after)) throw new Failure('REQUEST_INVALID', { field: 'labels', reason: 'too_many' });
  return after;
}

async function show(parts: ApiParts, vm: Vm): Promise<VmView> {
  const [view] = await viewVms(parts, [vm]);
  if (!view) throw new TypeError('a machine without a view');
  return view;
}

async function viewVms({ store, agents }: ApiParts, vms: readonly Vm[]): Promise<VmView[]> {
  const ids = vms.map(({ id }) => id);
  const [busy, online] = await Promise.all([busyVms(store.db, ids), agents.online(ids)]);
  return vms.map((vm) => viewVm(vm, online.has(vm.id), busy.get(vm.id) ?? null));
}
