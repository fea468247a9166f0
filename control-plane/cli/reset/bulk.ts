// One reset of many machines from the request to its end, as a program drives it: draft, intent, one proof, watch. What is proven
// are the bytes that name every machine that was shown, and no other.

import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import type { BulkRequest, BulkView } from '../../api/schemas-bulk.ts';
import type { Client } from '../client/client.ts';
import { meetAgent } from '../client/known-agents.ts';
import { createRecipient, dropRecipient, dropStaleRecipients } from '../client/recipients.ts';
import { type CheckedIntent, checkIntent } from './intent-check.ts';
import { proveThrough } from './proof.ts';
import type { ResetObserver, ResetRequest } from './request.ts';

const LOOK_MS = 1_000;

export type BulkReset = Readonly<{
  label: string;
  project?: string;
  concurrency?: number;
  reset: Pick<ResetRequest, 'account' | 'vnc' | 'graceS' | 'validS'>;
}>;

type Observer = Pick<ResetObserver, 'prove' | 'retryProof'> & Readonly<{ confirm(bulk: BulkView): Promise<boolean> }>;

/** Where it throws, nothing was approved; where it returns, every machine has its operation, or a second person is awaited. */
export async function runBulk(client: Client, asked: BulkReset, observer: Observer): Promise<BulkView> {
  const { api, stateFolder } = client;
  const { operator } = await api.whoami();
  await dropStaleRecipients(stateFolder, client.now());
  const bulk = await api.createBulk(requestOf(asked));
  try {
    await meetAll(client, asked, bulk);
    if (!(await observer.confirm(bulk))) throw new Failure('CANCELLED', { bulk: bulk.bulk });
    const { checked, methods } = await intend(client, { asked, bulk, operator });
    const vm_name = `${bulk.machines} machines`;
    return await proveThrough<BulkView>(
      {
        mail: async () => (await api.mailBulkCode(bulk.bulk)).sent_to,
        submit: (body) => api.submitBulk(bulk.bulk, body),
        look: () => api.bulk(bulk.bulk),
        isIn: ({ approved_at, awaits_second }) => approved_at !== null || awaits_second,
        isOver: ({ state }) => state !== 'DRAFT',
      },
      { operation: { vm_name }, operator },
      { observer, checked, methods },
    );
  } catch (error) {
    await discard(client, bulk.bulk);
    throw error;
  }
}

function requestOf({ label, project, concurrency, reset: { account, vnc, graceS } }: BulkReset): BulkRequest {
  return {
    label,
    ...(project === undefined ? {} : { project }),
    ...(account ? { account: { name: account.name, unlock: account.unlock } } : {}),
    ...(vnc ? { vnc: { server: vnc.server, restart: vnc.restart } } : {}),
    reboot: { grace_s: graceS },
    ...(concurrency === undefined ? {} : { concurrency }),
  };
}

/** Throws `CLONE_SUSPECTED` where an agent has another key than before, and where the draft names one that is not shown. */
async function meetAll({ api, stateFolder, now }: Client, { label }: BulkReset, bulk: BulkView): Promise<void> {
  const known = new Map((await api.vms({ label, project: bulk.project })).map((vm) => [vm.id, vm]));
  for (const { vm, agent, ended } of bulk.results) {
    if (ended) continue;
    const machine = known.get(vm);
    if (!machine?.ek || machine.agent !== agent) throw new Failure('AUD_MISMATCH', { vm });
    await meetAgent(stateFolder, { agent, vm, ek: machine.ek }, now());
  }
}

type Drafted = Readonly<{ asked: BulkReset; bulk: BulkView; operator: string }>;

async function intend(
  client: Client,
  { asked: { reset }, bulk, operator }: Drafted,
): Promise<Readonly<{ checked: CheckedIntent; methods: Parameters<Observer['prove']>[0]['methods'] }>> {
  const op = bulk.bulk;
  const from = { randomBytes: client.randomBytes, now: client.now() };
  const { key } = await createRecipient(client.stateFolder, { op, agent: null }, from);
  const secret = { mode: 'generated' as const, recipient_jwk: key.jwk };
  const response = await client.api.bulkIntent(op, {
    ...(reset.account ? { account: { secret } } : {}),
    ...(reset.vnc ? { vnc: { secret } } : {}),
    ...(reset.validS === undefined ? {} : { valid_s: reset.validS }),
  });
  const agents = bulk.results.flatMap(({ agent, ended }) => (agent === null || ended ? [] : [agent]));
  const checked = await checkIntent(response, {
    ...{ op, agent: agents, project: bulk.project, operator, ready: null, shown: null },
    request: { vm: '', ...reset },
    ...(reset.account ? { account: secret } : {}),
    ...(reset.vnc ? { vnc: secret } : {}),
    nowS: Math.floor(client.now().getTime() / 1000),
  });
  return { checked, methods: response.methods };
}

/** Ends a draft that will not be approved. */
async function discard({ api, stateFolder }: Client, op: string): Promise<void> {
  const view = await api.bulk(op).catch(() => undefined);
  // Where the answer to a submission was lost it may go on, and its passwords must stay readable.
  if (!view || view.approved_at !== null) return;
  await api.stopBulk(op).catch(() => undefined);
  await dropRecipient(stateFolder, op).catch(() => undefined);
}

/** Looks until every machine has ended, or `signal` says so; each view that says something new is shown. */
export async function followBulk(
  { api }: Client,
  op: string,
  { signal, show }: Readonly<{ signal: AbortSignal; show(view: BulkView): void }>,
): Promise<BulkView> {
  let [view, last] = [await api.bulk(op), ''];
  for (;;) {
    const said = JSON.stringify(view.results);
    if (said !== last) show(view);
    last = said;
    if (signal.aborted || (view.state !== 'DRAFT' && view.state !== 'RUNNING')) return view;
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    view = await api.bulk(op).catch((error: unknown) => {
      // A restart of the control plane is waited for.
      if (codeOf(error) === 'SERVER_UNREACHABLE') return view;
      throw error;
    });
  }
}
