// The control plane's HTTP API as functions: one for each request this program makes, with answers checked against the
// server's own schemas. What it returns is still only the server's word: tokens and intents are verified elsewhere.

import { z } from 'zod';
import { Failure } from '../../../protocol/failure.ts';
import {
  type IntentRequest,
  intentResponse,
  intentView,
  mailedView,
  type OperationRequest,
  operationView,
  type SubmitRequest,
  vmView,
} from '../../api/schemas.ts';
import { type BulkIntentRequest, type BulkRequest, bulkIntent, bulkList, bulkView } from '../../api/schemas-bulk.ts';
import { deviceBegun, type deviceRequest } from '../../api/schemas-device.ts';
import {
  type JoinTokenRequest,
  joinTokenCreated,
  joinTokenList,
  type OperatorRequest,
  operatorCreated,
  type ReleaseRequest,
  releaseIntent,
  trustView,
  whoamiView,
} from '../../api/schemas-installation.ts';
import { operationList, ownerView, type VmChange, vmList } from '../../api/schemas-lists.ts';
import {
  type ApiKeyRequest,
  apiKeyCreated,
  apiKeyList,
  memberList,
  type memberRequest,
  memberView,
  projectList,
  projectView,
} from '../../api/schemas-people.ts';
import { preflightView } from '../../api/schemas-preflight.ts';
import { type VmRequest, vmCreated } from '../../api/schemas-provisioning.ts';
import { invitationCreated, type invitationRequest } from '../../api/schemas-sign-in.ts';
import {
  deliveryList,
  deliveryView,
  type WebhookRequest,
  webhookCreated,
  webhookList,
  webhookView,
} from '../../api/schemas-webhooks.ts';
import { readEvents } from './events.ts';
import { type Connection, exchange, stream } from './http.ts';

/** A line of history. Its types may grow, so an unknown one is no fault. */
const event = z.object({
  id: z.number(),
  at: z.string(),
  vm: z.string().nullable(),
  op: z.string().nullable(),
  type: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type HistoryEvent = z.infer<typeof event>;

export type OperationFilter = Readonly<{ vm?: string; state?: string; label?: string; limit?: number }>;
/** As `vm list` takes it. */
export type VmFilter = Readonly<{ label?: string; state?: string; project?: string; version?: string; text?: string }>;
export type Api = ReturnType<typeof connectApi>;

/** Most pages of a list that are read before this program stops asking. */
const PAGES_MAX = 100;

export function connectApi(connection: Connection) {
  const get = async <S extends z.ZodObject>(schema: S, path: string, signal?: AbortSignal) =>
    read(schema, await exchange(connection, { method: 'GET', path, ...(signal ? { signal } : {}) }));
  const post = async <S extends z.ZodObject>(schema: S, path: string, body: unknown, signal?: AbortSignal) =>
    read(schema, await exchange(connection, { method: 'POST', path, body, signal }));

  const remove = async <S extends z.ZodObject>(schema: S, path: string) =>
    read(schema, await exchange(connection, { method: 'DELETE', path }));
  const patch = async <S extends z.ZodObject>(schema: S, path: string, body: unknown) =>
    read(schema, await exchange(connection, { method: 'PATCH', path, body }));

  return {
    url: connection.url,
    whoami: () => get(whoamiView, '/v1/whoami'),
    vms: (filter: VmFilter = {}) => vmPages(filter, (path) => get(vmList, path)),
    changeVm: (vm: string, body: VmChange) => patch(vmView, `/v1/vms/${encodeURIComponent(vm)}`, body),
    vm: (vm: string) => get(vmView, `/v1/vms/${encodeURIComponent(vm)}`),
    createVm: (body: VmRequest) => post(vmCreated, '/v1/vms', body),
    removeVm: async (vm: string) =>
      read(vmView, await exchange(connection, { method: 'DELETE', path: `/v1/vms/${encodeURIComponent(vm)}` })),
    owner: (vm: string) => get(ownerView, `/v1/vms/${encodeURIComponent(vm)}/owner`),
    setOwner: (vm: string, email: string | null) =>
      post(ownerView, `/v1/vms/${encodeURIComponent(vm)}/owner`, { email }),
    askPreflight: (vm: string) => post(preflightView, `/v1/vms/${encodeURIComponent(vm)}/preflight`, {}),
    operations: (filter: OperationFilter) => get(operationList, `/v1/operations${query(filter)}`),
    operation: (op: string, signal?: AbortSignal) => get(operationView, operationPath(op), signal),
    createOperation: (body: OperationRequest) => post(operationView, '/v1/operations', body),
    intent: (op: string, body: IntentRequest) => post(intentResponse, `${operationPath(op)}/intent`, body),
    shownIntent: (op: string) => get(intentView, `${operationPath(op)}/intent`),
    mailCode: (op: string) => post(mailedView, `${operationPath(op)}/factors/email`, {}),
    submit: (op: string, body: SubmitRequest) => post(operationView, `${operationPath(op)}/submit`, body),
    cancel: (op: string) => post(operationView, `${operationPath(op)}/cancel`, {}),
    collected: (op: string) =>
      exchange(connection, { method: 'POST', path: `${operationPath(op)}/collected`, body: {} }),
    releaseIntent: (vm: string) => post(releaseIntent, `/v1/vms/${encodeURIComponent(vm)}/release-intent`, {}),
    release: (vm: string, body: ReleaseRequest) => post(vmView, `/v1/vms/${encodeURIComponent(vm)}/release`, body),
    createBulk: (body: BulkRequest) => post(bulkView, '/v1/bulk', body),
    bulks: () => get(bulkList, '/v1/bulk'),
    bulk: (op: string) => get(bulkView, bulkPath(op)),
    bulkIntent: (op: string, body: BulkIntentRequest) => post(bulkIntent, `${bulkPath(op)}/intent`, body),
    mailBulkCode: (op: string) => post(mailedView, `${bulkPath(op)}/factors/email`, {}),
    submitBulk: (op: string, body: SubmitRequest) => post(bulkView, `${bulkPath(op)}/submit`, body),
    stopBulk: (op: string) => post(bulkView, `${bulkPath(op)}/stop`, {}),
    createJoinToken: (body: NonNullable<JoinTokenRequest>) => post(joinTokenCreated, '/v1/join-tokens', body),
    joinTokens: () => get(joinTokenList, '/v1/join-tokens'),
    revokeJoinToken: (id: string) =>
      exchange(connection, { method: 'DELETE', path: `/v1/join-tokens/${encodeURIComponent(id)}` }),
    invite: (body: z.infer<typeof invitationRequest>) => post(invitationCreated, '/v1/invitations', body),
    beginLogin: (body: z.infer<typeof deviceRequest>) => post(deviceBegun, '/v1/auth/device', body),
    takeLogin: (device_code: string, signal: AbortSignal) =>
      post(apiKeyCreated, '/v1/auth/device/token', { device_code }, signal),
    projects: () => get(projectList, '/v1/projects'),
    createProject: (name: string) => post(projectView, '/v1/projects', { name }),
    members: (project: string) => get(memberList, membersPath(project)),
    putMember: (project: string, body: z.infer<typeof memberRequest>) => post(memberView, membersPath(project), body),
    removeMember: (project: string, operator: string) =>
      exchange(connection, { method: 'DELETE', path: `${membersPath(project)}/${encodeURIComponent(operator)}` }),
    apiKeys: () => get(apiKeyList, '/v1/api-keys'),
    createApiKey: (body: ApiKeyRequest) => post(apiKeyCreated, '/v1/api-keys', body),
    revokeApiKey: (id: string) =>
      exchange(connection, { method: 'DELETE', path: `/v1/api-keys/${encodeURIComponent(id)}` }),
    createOperator: (body: OperatorRequest) => post(operatorCreated, '/v1/operators', body),
    createWebhook: (body: WebhookRequest) => post(webhookCreated, '/v1/webhooks', body),
    webhooks: (project?: string) => get(webhookList, `/v1/webhooks${query({ project })}`),
    removeWebhook: (id: string) => remove(webhookView, webhookPath(id)),
    testWebhook: (id: string) => post(deliveryView, `${webhookPath(id)}/test`, {}),
    deliveries: (id: string, filter: Readonly<{ state?: string; limit: number }>) =>
      get(deliveryList, `${webhookPath(id)}/deliveries${query(filter)}`),
    redeliver: (id: string, message: string) =>
      post(deliveryView, `${webhookPath(id)}/deliveries/${encodeURIComponent(message)}/redeliver`, {}),
    trust: () => get(trustView, '/v1/trust'),
    /** Raw events of one operation, from after `lastEventId`; what they mean is looked up in the operation itself. */
    operationEvents: (op: string, lastEventId: string | null, signal?: AbortSignal) =>
      readEvents(stream(connection, `${operationPath(op)}/events`, lastEventId, signal)),
    /** Events of one machine, or of all. */
    async *history(vm: string | null, lastEventId: string | null, signal?: AbortSignal): AsyncGenerator<HistoryEvent> {
      const path = vm === null ? '/v1/events' : `/v1/vms/${encodeURIComponent(vm)}/events`;
      for await (const { data } of readEvents(stream(connection, path, lastEventId, signal))) {
        yield read(event, parse(data));
      }
    },
  };
}

const webhookPath = (id: string): string => `/v1/webhooks/${encodeURIComponent(id)}`;
const membersPath = (project: string): string => `/v1/projects/${encodeURIComponent(project)}/members`;
const bulkPath = (op: string): string => `/v1/bulk/${encodeURIComponent(op)}`;
const operationPath = (op: string): string => `/v1/operations/${encodeURIComponent(op)}`;

async function vmPages(filter: VmFilter, page: (path: string) => Promise<z.infer<typeof vmList>>) {
  const items: z.infer<typeof vmView>[] = [];
  let cursor: string | null | undefined;
  for (let pages = 0; pages < PAGES_MAX && cursor !== null; pages += 1) {
    const answer = await page(`/v1/vms${query({ ...filter, limit: 200, ...(cursor ? { cursor } : {}) })}`);
    items.push(...answer.items);
    cursor = answer.next;
  }
  return items;
}

function query(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure('VERSION_UNSUPPORTED', { field: 'event' }, cause);
  }
}

/** An answer of another shape comes from another version. Members that a newer server adds are let through. */
function read<S extends z.ZodObject>(schema: S, value: unknown): z.infer<S> {
  const result = schema.loose().safeParse(value);
  if (result.success) return result.data as z.infer<S>;
  throw new Failure('VERSION_UNSUPPORTED', { field: (result.error.issues[0]?.path ?? []).join('.').slice(0, 80) });
}
