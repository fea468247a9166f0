// What each request is for, and the codes that it may be refused with: the part of the OpenAPI document that no schema says.
// A route that is not in here does not start.

import type { Code } from '../../protocol/codes.ts';
import { type Entry, madeOnce, onProof, throughSigner } from './contract-entry.ts';
import { people } from './contract-people.ts';
import { bulk, operations } from './contract-resets.ts';

/** What any request may be refused with, and any that needs a key. */
export const everywhere: readonly Code[] = ['REQUEST_INVALID', 'RATE_LIMITED', 'INTERNAL'];
const behindKey: readonly Code[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'ORIGIN_REFUSED'];

const machines = {
  'GET /v1/vms': { id: 'listVms', tag: 'machines', summary: 'The machines.', codes: ['NOT_FOUND'] },
  'POST /v1/vms': {
    id: 'createVm',
    tag: 'machines',
    summary:
      'Registers a machine to come, and answers what its first boot needs. An operator has to prove its first passwords.',
    codes: ['ALREADY_EXISTS', 'NOT_FOUND', 'SHOWN_ONCE', 'REROOT_REFUSED', ...madeOnce],
  },
  'DELETE /v1/vms/:vm': {
    id: 'removeVm',
    tag: 'machines',
    summary: 'Takes back a machine that has not come; its join token admits nobody any more.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT', 'REROOT_REFUSED'],
  },
  'GET /v1/vms/:vm': { id: 'getVm', tag: 'machines', summary: 'One machine, by id or name.', codes: ['NOT_FOUND'] },
  'PATCH /v1/vms/:vm': {
    id: 'changeVm',
    tag: 'machines',
    summary: 'Sets labels of one machine, and takes them away.',
    codes: ['NOT_FOUND', 'PRECONDITION_FAILED'],
  },
  'GET /v1/vms/:vm/owner': {
    id: 'getOwner',
    tag: 'machines',
    summary: 'Who is told by mail of resets of the machine.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/vms/:vm/owner': {
    id: 'setOwner',
    tag: 'machines',
    summary: 'Names who is told by mail of resets of the machine, or nobody.',
    codes: ['NOT_FOUND'],
  },
  'GET /v1/vms/:vm/preflight': {
    id: 'getPreflight',
    tag: 'machines',
    summary: 'The last answer to whether the machine can be reset.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/vms/:vm/preflight': {
    id: 'askPreflight',
    tag: 'machines',
    summary: 'Asks the machine whether it can be reset now; changes nothing.',
    codes: ['NOT_FOUND', 'AGENT_OFFLINE', 'VERSION_UNSUPPORTED', 'EXECUTOR_UNAVAILABLE'],
  },
  'POST /v1/preflights': {
    id: 'askPreflights',
    tag: 'machines',
    summary:
      'Asks many machines, so many at a time: a line of JSON for each, as it answers. Closing the connection stops it.',
    codes: ['NOT_FOUND'],
    type: 'application/x-ndjson',
  },
  'POST /v1/vms/:vm/release-intent': {
    id: 'buildReleaseIntent',
    tag: 'machines',
    summary: 'What an operator proves to let a held identity in again.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT', 'FACTOR_LOCKED', ...throughSigner],
  },
  'POST /v1/vms/:vm/release': {
    id: 'releaseVm',
    tag: 'machines',
    summary: 'Lets a held identity in again; 202 where a second person has to prove the same.',
    codes: ['NOT_FOUND', ...onProof],
  },
} as const satisfies Record<string, Entry>;

const events = {
  'GET /v1/events': {
    id: 'streamEvents',
    tag: 'events',
    summary: 'What happens from now on, anywhere.',
    codes: [],
    type: 'text/event-stream',
  },
  'GET /v1/projects/:project/events': {
    id: 'streamProjectEvents',
    tag: 'events',
    summary: 'What happens from now on in one project.',
    codes: ['NOT_FOUND'],
    type: 'text/event-stream',
  },
  'GET /v1/vms/:vm/events': {
    id: 'streamVmEvents',
    tag: 'events',
    summary: 'What happens from now on to one machine.',
    codes: ['NOT_FOUND'],
    type: 'text/event-stream',
  },
  'GET /v1/operations/:op/events': {
    id: 'streamOperationEvents',
    tag: 'events',
    summary: 'All that happened to one operation, and what happens from now on.',
    codes: ['NOT_FOUND'],
    type: 'text/event-stream',
  },
} as const satisfies Record<string, Entry>;

const onWebhook = { tag: 'webhooks', codes: ['NOT_FOUND'] } as const;

const webhooks = {
  'POST /v1/webhooks': {
    id: 'createWebhook',
    tag: 'webhooks',
    summary: 'Registers a receiver. The secret that its messages are signed with is shown once.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT', 'SHOWN_ONCE', ...madeOnce],
  },
  'GET /v1/webhooks': { id: 'listWebhooks', summary: 'The receivers, oldest first.', ...onWebhook },
  'GET /v1/webhooks/:webhook': { id: 'getWebhook', summary: 'One receiver.', ...onWebhook },
  'DELETE /v1/webhooks/:webhook': {
    id: 'removeWebhook',
    summary: 'Removes a receiver, with its messages.',
    ...onWebhook,
  },
  'POST /v1/webhooks/:webhook/test': {
    id: 'testWebhook',
    summary: 'Sends a message of type `webhook.test`.',
    ...onWebhook,
  },
  'GET /v1/webhooks/:webhook/deliveries': {
    id: 'listDeliveries',
    summary: 'The messages of a receiver, newest first; `state=dead` for those that were given up.',
    ...onWebhook,
  },
  'POST /v1/webhooks/:webhook/deliveries/:delivery/redeliver': {
    id: 'redeliver',
    tag: 'webhooks',
    summary: 'Sends a message that is over once more, with the same id and all its attempts.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT'],
  },
} as const satisfies Record<string, Entry>;

const installation = {
  'POST /v1/join-tokens': {
    id: 'createJoinToken',
    tag: 'enrolment',
    summary: 'A token that machines enrol with. It is shown once.',
    codes: ['NOT_FOUND', 'SHOWN_ONCE', ...madeOnce],
  },
  'GET /v1/join-tokens': {
    id: 'listJoinTokens',
    tag: 'enrolment',
    summary: 'The join tokens, newest first, without what they are.',
    codes: ['NOT_FOUND'],
  },
  'DELETE /v1/join-tokens/:id': {
    id: 'revokeJoinToken',
    tag: 'enrolment',
    summary: 'Revokes a join token.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT'],
  },
  'GET /v1/trust': {
    id: 'getTrust',
    tag: 'enrolment',
    summary: 'What the trust file of a guest is made of.',
    codes: [],
  },
  'POST /v1/operators': {
    id: 'createOperator',
    tag: 'operators',
    summary: 'A new operator with an API key, which is shown once.',
    codes: ['ALREADY_EXISTS', 'NOT_FOUND', 'SHOWN_ONCE', ...madeOnce],
  },
  'GET /v1/projects': {
    id: 'listProjects',
    tag: 'operators',
    summary: 'The projects of whoever asks, and their role in each.',
    codes: [],
  },
  'POST /v1/projects': {
    id: 'createProject',
    tag: 'operators',
    summary: 'A new project, of which whoever makes it is the admin.',
    codes: ['ALREADY_EXISTS', 'NOT_FOUND'],
  },
  'GET /v1/projects/:project/members': {
    id: 'listMembers',
    tag: 'operators',
    summary: 'Who is a member of a project, and in which role.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/projects/:project/members': {
    id: 'putMember',
    tag: 'operators',
    summary: 'Makes an operator a member of a project, or changes their role in it.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT'],
  },
  'DELETE /v1/projects/:project/members/:operator': {
    id: 'removeMember',
    tag: 'operators',
    summary: 'Takes a member out of a project.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT'],
  },
  'POST /v1/api-keys': {
    id: 'createApiKey',
    tag: 'operators',
    summary: 'An API key of one’s own, for less than the one it is made with, or as much. It is shown once.',
    codes: ['NOT_FOUND'],
  },
  'GET /v1/api-keys': {
    id: 'listApiKeys',
    tag: 'operators',
    summary: 'One’s own API keys, or everybody’s for an admin of the installation, without what they are.',
    codes: [],
  },
  'DELETE /v1/api-keys/:id': {
    id: 'revokeApiKey',
    tag: 'operators',
    summary: 'Revokes an API key; streams that it opened end.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/passkeys/options': {
    id: 'beginPasskey',
    tag: 'operators',
    summary: 'Options for `navigator.credentials.create`, for an operator who was invited.',
    codes: ['AUTHZ_INVALID', ...throughSigner],
  },
  'POST /v1/passkeys': {
    id: 'registerPasskey',
    tag: 'operators',
    summary: 'Registers a passkey with an invitation.',
    codes: ['AUTHZ_INVALID', 'ALREADY_EXISTS', ...throughSigner, ...madeOnce],
  },
  'GET /v1/whoami': {
    id: 'whoami',
    tag: 'operators',
    summary: 'Whose API key this is, and of which installation.',
    codes: [],
  },
} as const satisfies Record<string, Entry>;

const service = {
  'GET /healthz': { id: 'health', tag: 'service', summary: 'Whether it is up.', codes: [], open: true },
  'GET /v1/openapi.json': {
    id: 'getOpenapi',
    tag: 'service',
    summary: 'This document.',
    codes: [],
    open: true,
    type: 'application/json',
  },
  'GET /v1/docs': {
    id: 'readDocs',
    tag: 'service',
    summary: 'This document, to be read in a browser.',
    codes: [],
    open: true,
    type: 'text/html',
  },
} as const satisfies Record<string, Entry>;

const contract: Readonly<Record<string, Entry>> = {
  ...machines,
  ...operations,
  ...bulk,
  ...events,
  ...webhooks,
  ...installation,
  ...people,
  ...service,
};

export const requests: readonly string[] = Object.keys(contract);

/** Throws for a route that nobody described: a defect. */
export function entryOf(method: string, url: string): Entry {
  const entry = contract[`${method} ${url}`];
  if (!entry) throw new TypeError(`no contract for ${method} ${url}`);
  return entry;
}

/** Every code that a request may be refused with. */
export function codesOf({ codes, open }: Entry): readonly Code[] {
  return [...new Set([...everywhere, ...(open ? [] : behindKey), ...codes])];
}
