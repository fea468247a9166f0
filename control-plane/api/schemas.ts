// What the HTTP API takes and gives: one schema a body, strict both ways, shared by the server and its clients. No body
// has, or may ever have, a place for a plaintext password.

import { z } from 'zod';
import { factorMethods } from '../../protocol/command.ts';
import { generatedSource, secretSource, typedSource } from '../../protocol/intent.ts';
import { states } from '../../protocol/lifecycle.ts';
import { GRACE_S_MAX, INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import { verified, vncStates } from '../../protocol/receipt.ts';
import {
  accountName,
  agentId,
  bootId,
  bytes32,
  compactToken,
  counter,
  ed25519Jwk,
  operationId,
  operatorName,
  projectName,
  sealedSecret,
  vmId,
  vncServerId,
  x25519Jwk,
} from '../../protocol/schema.ts';
import { facts, readyVnc } from '../../protocol/session.ts';
import { attestationResponse, type Proof, proof } from '../signer/requests.ts';

/** ISO 8601 in UTC. */
export const time = z.iso.datetime();
const code = z.string().regex(/^[A-Z][A-Z0-9_]{1,40}$/);
const shortText = z.string().max(200);

/** A machine's name here: unique in its project, chosen at enrolment, at first the guest's host name. */
export const vmName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
/** A path's `{id|name}` of a machine. */
export const vmParams = z.strictObject({ vm: z.string().min(1).max(80) });
export const projectParams = z.strictObject({ project: projectName });
export const operationParams = z.strictObject({ op: operationId });

// Machines.

export const vmView = z.strictObject({
  id: vmId,
  agent: agentId,
  name: vmName,
  project: projectName,
  online: z.boolean(),
  /** `null` of a machine to come. */
  enrolled_at: time.nullable(),
  last_seen: time.nullable(),
  boot: z.nullable(bootId),
  agent_version: shortText.nullable(),
  facts: z.nullable(facts),
  /** Codes such as `CLONE_SUSPECTED` that someone should look at. */
  flags: z.array(code),
  /** Why and since when its identity is held; no operation starts before an operator has cleared it. */
  quarantine: z.strictObject({ code, since: time }).nullable(),
  labels: z.record(z.string(), z.string()),
  /** Its link's key and its executor's; `null` of a machine to come. */
  ik: z.nullable(ed25519Jwk),
  ek: z.nullable(ed25519Jwk),
  /** How it was registered before it came, and the operation that sets its first passwords. */
  provision: z
    .strictObject({
      account: z.nullable(accountName),
      vnc_initial: z.enum(['same', 'independent']).nullable(),
      op: operationId,
    })
    .nullable(),
  /** It was registered, and taken back before it came. */
  removed: z.boolean(),
  /** The approved operation that is under way, if one is. */
  busy: z.nullable(operationId),
});
export type VmView = z.infer<typeof vmView>;

// Operations.

const mode = z.enum(['generated', 'typed']);

/** `POST /v1/operations`: a draft of what is to be reset. At least one of `account` and `vnc`. */
export const operationRequest = z
  .strictObject({
    /** The id or name of a machine. */
    vm: z.string().min(1).max(80),
    account: z
      .strictObject({
        /** Absent or `null`: the default administrator. */
        name: z.nullable(accountName).optional(),
        unlock: z.boolean().optional(),
        mode,
      })
      .optional(),
    vnc: z
      .strictObject({
        /** Absent or `null`: the configured server, or the only one. */
        server: z.nullable(vncServerId).optional(),
        mode,
        restart: z.boolean().optional(),
      })
      .optional(),
    reboot: z.strictObject({ grace_s: z.number().int().min(0).max(GRACE_S_MAX).optional() }).optional(),
    /** When its window opens: until then it waits, whatever was proven. Not with a typed password. */
    not_before: time.optional(),
    method: z.literal('online').optional(),
  })
  .refine(({ account, vnc }) => account !== undefined || vnc !== undefined, { path: ['account'] });
export type OperationRequest = z.infer<typeof operationRequest>;

export const receiptView = z.strictObject({
  n: z.number().int().min(1),
  state: z.enum(states),
  code: code.nullable(),
  at: time,
  /** The receipt's signed detail: names, boot ids, a word of reason. */
  detail: z.record(z.string(), z.unknown()),
});

export const stateTime = z.strictObject({
  state: z.enum(states),
  /** How long it lasted; `null` where no clock saw both of its ends, as when a receipt had waited for a network. */
  ms: z.number().int().min(0).nullable(),
  /** Whose clock: the machine's monotonic one within one boot, the control plane's across boots and before them. */
  measured_by: z.enum(['machine', 'control_plane']).nullable(),
  /** The state that followed, and the receipt that brought it. */
  to: z.enum(states),
  n: z.number().int().min(1).nullable(),
});
export type StateTimeView = z.infer<typeof stateTime>;

const sealedSecrets = z.strictObject({
  account: z.optional(sealedSecret),
  vnc: z.optional(sealedSecret),
});

export const operationView = z.strictObject({
  op: operationId,
  vm: vmId,
  vm_name: vmName,
  agent: agentId,
  project: projectName,
  /** `initialise`: the first passwords of a machine that was registered. */
  act: z.enum(['reset', 'initialise']),
  /** The bulk submission that it is one of: its machine, its commands and its sealed secrets know it by that. */
  bulk: z.nullable(operationId),
  state: z.enum(states),
  ended: z.boolean(),
  /** Whether an operator's proof was accepted, and when. */
  approved: z.boolean(),
  approved_at: time.nullable(),
  /** One operator has proven it, and policy wants the proof of another one. */
  awaits_second: z.boolean(),
  /** Why it is in this state, where there is a reason; the sentence is that code's, the hint that of the reason's word if it has one. */
  code: code.nullable(),
  sentence: z.string().nullable(),
  hint: z.string().nullable(),
  warnings: z.array(code),
  /** The machine has not come back from its reboot in the usual time. */
  overdue: z.boolean(),
  /** What the agent last gave as a reason for not being ready. Moves nothing. */
  reason: code.nullable(),
  operator: operatorName,
  /** The account: as asked for until the agent was ready, and from then on as the agent resolved it. */
  account: z
    .strictObject({
      name: z.nullable(accountName),
      uid: z.nullable(counter),
      state: z.enum(['active', 'no_password', 'locked', 'expired']).nullable(),
      /** Why the agent could not resolve the account. */
      code: code.nullable(),
      mode,
      unlock: z.boolean(),
    })
    .nullable(),
  vnc: z
    .strictObject({
      server: z.nullable(vncServerId),
      /** `same`: the account's password. */
      mode: z.enum(['generated', 'typed', 'same']),
      restart: z.boolean(),
    })
    .nullable(),
  /** The servers that the agent found when it was ready. */
  vnc_servers: z.array(readyVnc),
  /** The agent's signed `lk-ready+jws`, while it is alive: verify it with `ek` before sealing to its key. */
  ready: z.nullable(compactToken),
  ready_expires_at: time.nullable(),
  /** `null` of a machine to come. */
  ek: z.nullable(ed25519Jwk),
  intent_hash: z.nullable(bytes32),
  /** Its window: before the one and after the other nothing of it is sent. */
  not_before: time.nullable(),
  not_after: time.nullable(),
  verified: z.nullable(verified),
  /** Where the VNC secret stands, by the last receipt that says so. */
  vnc_state: z.nullable(z.enum(vncStates)),
  /** Receipts that are missing: the machine has signed number `n`, and the last one here is `after`. */
  gap: z.nullable(z.strictObject({ after: z.number().int().min(0), n: z.number().int().min(2) })),
  boot_before: z.nullable(bootId),
  boot_after: z.nullable(bootId),
  grace_s: z.number().int().min(0),
  grace_until: time.nullable(),
  receipts: z.array(receiptView),
  /** Since when it is in this state, and for how long by now, by the control plane's clock: a receipt may have waited. */
  state_since: time,
  state_ms: z.number().int().min(0),
  /** The states that it has left. */
  times: z.array(stateTime),
  /** Generated secrets, sealed to the intent's recipient, until they are collected. */
  sealed: sealedSecrets.nullable(),
  collected: z.boolean(),
  created_at: time,
  updated_at: time,
  ended_at: time.nullable(),
});
export type OperationView = z.infer<typeof operationView>;

const typedSecret = z.strictObject({ mode: z.literal('typed'), sealed: sealedSecret });
const generatedSecret = z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk });
const secretInput = z.discriminatedUnion('mode', [generatedSecret, typedSecret]);

/** `POST /v1/operations/{op}/intent`: the slots are those of the draft, in the mode that the draft says. */
export const intentRequest = z.strictObject({
  account: z.strictObject({ secret: secretInput }).optional(),
  vnc: z.strictObject({ secret: secretInput }).optional(),
  /** How long the proof may wait for the machine, from now. */
  valid_s: z.number().int().min(60).max(INTENT_TTL_S_MAX).optional(),
});
export type IntentRequest = z.infer<typeof intentRequest>;

/** What a proof will cover, computed from the intent's very bytes. */
export const intentSummary = z.strictObject({
  vm_name: vmName,
  agent: agentId,
  operator: operatorName,
  act: z.enum(['reset', 'initialise']),
  account: z
    .strictObject({
      name: z.nullable(accountName),
      uid: z.nullable(counter),
      secret: secretSource,
      unlock: z.boolean(),
    })
    .nullable(),
  vnc: z
    .strictObject({
      server: z.nullable(vncServerId),
      secret: z.union([typedSource, generatedSource, z.literal('same')]),
      restart: z.boolean(),
    })
    .nullable(),
  reboot: z.strictObject({ kind: z.literal('normal'), grace_s: z.number().int().min(0) }),
  not_before: time.nullable(),
  not_after: time,
  /** Codes to show before the confirmation. */
  warnings: z.array(code),
});
export type IntentSummary = z.infer<typeof intentSummary>;

export const proofMethods = z.enum(factorMethods);

export const intentResponse = z.strictObject({
  /** The intent's bytes, base64url. */
  intent: z.string().regex(/^[A-Za-z0-9_-]+$/),
  /** Base64url of SHA-256 of the bytes: a `key` proof signs these 32 bytes. */
  intent_hash: bytes32,
  summary: intentSummary,
  /** What this operator may prove it with; empty where no factor is registered. */
  methods: z.array(proofMethods),
});
export type IntentResponse = z.infer<typeof intentResponse>;

/** `GET /v1/operations/{op}/intent`: the same for whoever's proof is missing; `methods` are those of the one who asks. */
export const intentView = z.strictObject({ ...intentResponse.shape, awaits: z.enum(['first', 'second']).nullable() });
export type IntentView = z.infer<typeof intentView>;

/** `POST /v1/operations/{op}/factors/email` */
export const mailedView = z.strictObject({ sent_to: z.string(), expires_at: time });
export type MailedView = z.infer<typeof mailedView>;

/** `POST /v1/operations/{op}/factors/passkey`, `POST /v1/passkeys/options`: for `navigator.credentials`, as they are. */
export const ceremonyView = z.strictObject({ options: z.record(z.string(), z.unknown()) });

/** `POST /v1/passkeys/options`: the invitation is `latchkey operator add NAME --passkey`'s, on the host. */
export const passkeyInvitation = z.strictObject({ invitation: bytes32 });
/** `POST /v1/passkeys` */
export const passkeyRequest = z.strictObject({ invitation: bytes32, response: attestationResponse });
export const passkeyView = z.strictObject({ kid: bytes32 });

/**
 * `POST /v1/operations/{op}/submit`. With `intent_hash` the proof counts for that intent alone; a code that is sent without it
 * counts for the newest one.
 */
export const submitRequest = z.discriminatedUnion(
  'method',
  proof.options.map((way) => way.extend({ intent_hash: z.optional(bytes32) })) as unknown as [
    SubmitWay,
    ...SubmitWay[],
  ],
);
type SubmitWay = z.ZodObject<{ method: z.ZodLiteral; intent_hash: z.ZodOptional }>;
export type SubmitRequest = Proof & Readonly<{ intent_hash?: string | undefined }>;

/** The body of POSTs that say everything in their path: nothing, or `{}`. */
export const emptyRequest = z.strictObject({}).nullish();
export const emptyView = z.strictObject({});

// Events.

export const eventTypes = [
  'operation.created',
  'operation.state',
  'operation.approved',
  'operation.proven',
  'operation.reason',
  'operation.overdue',
  'operation.warning',
  'operation.collected',
  'operation.alarm',
  'bulk.created',
  'bulk.proven',
  'bulk.approved',
  'bulk.stopped',
  'vm.enrolled',
  'vm.online',
  'vm.offline',
  'vm.facts',
  'vm.labels',
  'vm.flag',
  'vm.preflight',
  'vm.released',
  'vm.registered',
  'vm.removed',
  'join_token.created',
  'join_token.revoked',
  'join_token.misused',
  'operator.created',
  'project.created',
  'project.member',
  'api_key.created',
  'api_key.revoked',
  'invitation.created',
  'invitation.accepted',
  'invitation.revoked',
  'person.signed_in',
  'person.signed_out_everywhere',
  'person.password_changed',
  'person.passkey_added',
  'person.passkey_removed',
  'person.login_approved',
  'person.login_denied',
  'operator.alarm',
  'operator.passkey',
  'vm.owner',
  'webhook.created',
  'webhook.removed',
] as const;

/** One line of history. Over SSE: `id:` its id, `event:` its type, `data:` this object. */
export const eventView = z.strictObject({
  id: z.number().int().min(1),
  at: time,
  vm: z.nullable(vmId),
  op: z.nullable(operationId),
  type: z.enum(eventTypes),
  /** `operation.state`: `{from, state, code, n, spent_ms, measured_by}`, the time being that in `from`. Others: a few plain fields. */
  data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});
export type EventView = z.infer<typeof eventView>;

/**
 * Where to go on reading; the header `Last-Event-ID` says the same and wins. Without either, an operation's stream starts
 * at its first event and the other streams start with the next one.
 */
export const eventQuery = z.strictObject({ last_event_id: z.coerce.number().int().min(0).optional() });

// Join tokens, operators, and the rest.

export const healthView = z.strictObject({ status: z.literal('ok'), version: z.string() });

/** `application/problem+json` (RFC 9457). `title` and `hint` are the code's; `detail` names fields, never their values. */
export const problem = z.strictObject({
  type: z.string().regex(/^urn:latchkey:code:[A-Z][A-Z0-9_]+$/),
  title: z.string(),
  status: z.number().int(),
  code,
  detail: z.string(),
  hint: z.string(),
});
export type Problem = z.infer<typeof problem>;
