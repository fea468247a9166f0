// What may be asked of the signer, on its two sockets: lines of JSON, strict both ways. Nothing here can carry a plaintext
// password or hand out a key.

import { z } from 'zod';
import { auditRow } from '../../protocol/audit.ts';
import { factorMethods, keyProof } from '../../protocol/command.ts';
import { GRACE_S_MAX, INTENT_TTL_S_MAX, TARGETS_MAX } from '../../protocol/limits.ts';
import { operators } from '../../protocol/root.ts';
import {
  accountName,
  agentId,
  base64urlText,
  bytes32,
  compactToken,
  counter,
  ed25519Jwk,
  operationId,
  operatorName,
  projectName,
  receiptToken,
  sealedSecret,
  vmId,
  vncServerId,
  x25519Jwk,
} from '../../protocol/schema.ts';
import { mailAddress } from '../config/mail.ts';
import { REQUEST_ID } from '../request-scope.ts';
import { policySchema } from './factor-records.ts';

/** Largest request, in bytes of its line. */
export const LINE_BYTES_MAX = 65_536;
/** Largest answer: one row of the audit may hold all roots that were published while the signer was away. */
export const ANSWER_BYTES_MAX = 4_194_304;

const secretInput = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('typed'), sealed: sealedSecret }),
  z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk }),
]);
const sealedPair = z.strictObject({ account: z.optional(sealedSecret), vnc: z.optional(sealedSecret) });
const method = z.enum(factorMethods);
const seconds = z.number().int().min(0);

/** What `navigator.credentials` gives a page, as JSON (WebAuthn, section 5.1.8), with bounds. */
const credential = {
  id: base64urlText(1_368),
  rawId: base64urlText(1_368),
  type: z.literal('public-key'),
  authenticatorAttachment: z.enum(['platform', 'cross-platform']).optional(),
  clientExtensionResults: z.record(z.string().max(64), z.unknown()),
};
export const assertionResponse = z.strictObject({
  ...credential,
  response: z.strictObject({
    clientDataJSON: base64urlText(1_368),
    authenticatorData: base64urlText(684),
    signature: base64urlText(96),
    userHandle: z.optional(base64urlText(100)),
  }),
});
export const attestationResponse = z.strictObject({
  ...credential,
  response: z.strictObject({
    clientDataJSON: base64urlText(1_368),
    attestationObject: base64urlText(16_384),
    authenticatorData: z.optional(base64urlText(4_096)),
    transports: z.array(z.string().max(32)).max(8).optional(),
    publicKeyAlgorithm: z.number().int().optional(),
    publicKey: z.optional(base64urlText(1_024)),
  }),
});

export const recoveryCode = z.string().regex(/^[0-9a-hjkmnp-tv-z]{5}(-[0-9a-hjkmnp-tv-z]{5}){3}$/);
const invitation = bytes32;

export const proof = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('totp'), code: z.string().regex(/^[0-9]{6}$/) }),
  z.strictObject({ method: z.literal('email'), code: z.string().regex(/^[0-9]{8}$/) }),
  z.strictObject({ method: z.literal('recovery'), code: recoveryCode }),
  z.strictObject({ method: z.literal('passkey'), response: assertionResponse }),
  z.strictObject({ method: z.literal('key'), ...keyProof.shape }),
]);
export type Proof = z.infer<typeof proof>;

/** Options of a WebAuthn ceremony, made by its library and handed to the browser as they are. */
const ceremony = z.strictObject({ options: z.record(z.string(), z.unknown()) });
/** This operator, on exactly this intent. */
const onIntent = { op: operationId, intent_hash: bytes32, operator: operatorName };

/** What `audit.take` takes at once: so many receipts are within a line. */
export const SEEN_MAX = 12;

/** What the control plane says of itself, by its word alone. */
export const noticeKinds = [
  'machine.flagged',
  'machine.released',
  'operation.ended',
  'operation.alarm',
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
  'join_token.created',
  'join_token.revoked',
  'join_token.misused',
] as const;
const notice = z.record(z.string().max(32), z.union([z.string().max(200), z.number(), z.boolean(), z.null()]));

const seen = z.discriminatedUnion('t', [
  /** From now on, this machine is who has that `ek`. */
  z.strictObject({
    t: z.literal('machine'),
    agent: agentId,
    vm: vmId,
    project: projectName,
    ik: ed25519Jwk,
    ek: ed25519Jwk,
    /** Of the join token that it enrolled with. */
    join_sha256: z.optional(bytes32),
  }),
  z.strictObject({ t: z.literal('receipt'), token: receiptToken }),
  z.strictObject({
    t: z.literal('notice'),
    kind: z.enum(noticeKinds),
    op: z.nullable(operationId),
    operator: z.nullable(operatorName),
    data: notice,
  }),
]);
export type Seen = z.infer<typeof seen>;

/** Asked by the control plane, on `signer.sock`. */
export const signerMethods = {
  /** Writes the intent's bytes; a new one voids the operation's previous one. */
  'intent.build': {
    params: z.strictObject({
      op: operationId,
      project: projectName,
      /** The machine; or the machines of a bulk submission, in the order that its commands count them by. */
      agent: z.optional(agentId),
      targets: z.array(agentId).min(1).max(TARGETS_MAX).optional(),
      operator: operatorName,
      account: z
        .strictObject({
          name: z.nullable(accountName),
          uid: z.nullable(counter),
          unlock: z.boolean(),
          secret: secretInput,
        })
        .optional(),
      vnc: z
        .strictObject({
          server: z.nullable(vncServerId),
          restart: z.boolean(),
          /** `same`: the account's, of first passwords alone. */
          secret: z.union([secretInput, z.literal('same')]),
        })
        .optional(),
      /** First passwords, for the machine that enrols with that token; else a reset. */
      join_sha256: z.optional(bytes32),
      /** Of a reset: when its window opens. */
      not_before: seconds.optional(),
      grace_s: z.number().int().min(0).max(GRACE_S_MAX),
      valid_s: z.number().int().min(60).max(INTENT_TTL_S_MAX),
    }),
    result: z.strictObject({
      intent: z.string(),
      intent_hash: bytes32,
      not_after: seconds,
      methods: z.array(method),
    }),
  },
  /** Writes the bytes of an intent to let a held identity in again, or answers the one that awaits a second person. */
  'release.build': {
    params: z.strictObject({ project: projectName, agent: agentId, operator: operatorName }),
    result: z.strictObject({
      op: operationId,
      intent: z.string(),
      intent_hash: bytes32,
      not_after: seconds,
      awaits: z.enum(['first', 'second']),
      methods: z.array(method),
    }),
  },
  /** Checks a factor on exactly this intent and burns it. */
  'intent.prove': {
    params: z.strictObject({ ...onIntent, proof }),
    /** `complete`: nobody else has to prove it. */
    result: z.strictObject({ method, at: seconds, complete: z.boolean() }),
  },
  /** The newest intent of an operation, and what this operator may prove it with. */
  'intent.show': {
    params: z.strictObject({ op: operationId, operator: operatorName }),
    result: z.strictObject({
      intent: z.string(),
      intent_hash: bytes32,
      not_after: seconds,
      /** Whose proof is missing: that of the operator who asks, or that of a second person. */
      awaits: z.enum(['first', 'second']).nullable(),
      methods: z.array(method),
    }),
  },
  /** Mails a code that proves this intent and nothing else. `vm_name` is for the letter alone. */
  'factor.email': {
    params: z.strictObject({
      ...onIntent,
      /** Absent where there are several. */
      vm_name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
        .optional(),
    }),
    result: z.strictObject({ sent_to: z.string(), expires_at: seconds }),
  },
  'factor.passkey': { params: z.strictObject(onIntent), result: ceremony },
  /** For an operator who was invited on the host to register a passkey. */
  'passkey.options': { params: z.strictObject({ operator: operatorName, invitation }), result: ceremony },
  'passkey.register': {
    params: z.strictObject({ operator: operatorName, invitation, response: attestationResponse }),
    result: z.strictObject({ kid: bytes32 }),
  },
  /** Alarms after a row of the audit, oldest first. */
  alarms: {
    params: z.strictObject({ after: z.number().int().min(0) }),
    result: z.strictObject({
      alarms: z.array(
        z.strictObject({
          n: z.number().int(),
          at: seconds,
          kind: z.string(),
          op: z.nullable(operationId),
          operator: operatorName,
        }),
      ),
    }),
  },
  /** What became of an operation's newest intent: lets a caller that crashed in between learn that it was proven. */
  'intent.status': {
    params: z.strictObject({ op: operationId }),
    result: z.strictObject({
      intent_hash: z.nullable(bytes32),
      proven: z.nullable(z.strictObject({ method, at: seconds })),
      complete: z.boolean(),
      locked: z.boolean(),
    }),
  },
  /**
   * Signs the command for a proven, living intent and the executor that says `ready`. Every command has a nonce of its
   * own. Where one was signed before, the caller says why that one cannot act any more, and the audit keeps its word.
   */
  'command.mint': {
    params: z.strictObject({
      op: operationId,
      intent_hash: bytes32,
      /** Which of the machines, where the intent names a list. */
      index: z
        .number()
        .int()
        .min(0)
        .max(TARGETS_MAX - 1)
        .optional(),
      /** Signed by the `ek` that the machine was enrolled with. */
      ready: compactToken,
      sealed: sealedPair.nullable(),
      previous: z.enum(['never_sent', 'executor_gone']),
    }),
    result: z.strictObject({ token: compactToken, cmd_sha256: bytes32, cn: bytes32, exp: seconds }),
  },
  /** Signs a cancel for the executor of the operation's newest command; `agent`: which of the machines of a list. */
  'cancel.mint': {
    params: z.strictObject({ op: operationId, operator: operatorName, agent: z.optional(agentId) }),
    result: z.strictObject({ token: compactToken, cmd_sha256: bytes32 }),
  },
  /** What the control plane saw, for the audit, in order; what does not hold is written down as that. */
  'audit.take': { params: z.strictObject({ items: z.array(seen).min(1).max(SEEN_MAX) }), result: z.strictObject({}) },
} as const;

/** Asked on the host, on `admin.sock`. */
export const adminMethods = {
  /**
   * Registers a factor: one that is named, or else a new TOTP secret whose `otpauth:` address is answered this once. An
   * invitation lets the operator register a passkey; recovery codes replace those before. Throws `ALREADY_EXISTS` where the
   * operator has that factor.
   */
  'operator.add': {
    params: z
      .strictObject({
        name: operatorName,
        key: z.optional(ed25519Jwk),
        email: z.string().max(254).regex(mailAddress).optional(),
        passkey: z.literal(true).optional(),
        recovery: z.literal(true).optional(),
      })
      .refine(({ name: _, ...ways }) => Object.values(ways).filter((way) => way !== undefined).length <= 1),
    result: z.strictObject({
      name: operatorName,
      totp_uri: z.string().nullable(),
      kid: z.nullable(bytes32),
      passkey_invitation: z.nullable(invitation),
      recovery_codes: z.array(recoveryCode),
    }),
  },
  /** Replaces everything that an operator proves with. */
  'operator.recover': {
    params: z.strictObject({ name: operatorName }),
    result: z.strictObject({ name: operatorName, totp_uri: z.string(), recovery_codes: z.array(recoveryCode) }),
  },
  /** Public halves of the keys that could sign commands, also of those that no root names yet. */
  'keys.held': {
    params: z.strictObject({}),
    result: z.strictObject({ keys: z.array(z.strictObject({ kid: bytes32, jwk: ed25519Jwk })) }),
  },
  'operator.keys': { params: z.strictObject({}), result: z.strictObject({ operators }) },
  'policy.get': { params: z.strictObject({}), result: policySchema },
  'policy.set': {
    params: z.strictObject({ methods: z.array(method).min(1).optional(), second_person: z.boolean().optional() }),
    result: policySchema,
  },
  'operator.list': {
    params: z.strictObject({}),
    result: z.strictObject({
      operators: z.array(
        z.strictObject({
          name: operatorName,
          factors: z.array(z.strictObject({ kind: method, kid: z.nullable(bytes32), added_at: seconds })),
          /** How many are left. */
          recovery_codes: z.number().int().min(0),
        }),
      ),
    }),
  },
  /** Rows of the audit from the newest or, with `after`, from an older one on; `next`: where to go on, if anything is left. */
  'audit.rows': {
    params: z.strictObject({
      after: z.number().int().min(0).optional(),
      before: z.number().int().min(1).optional(),
      limit: z.number().int().min(1).max(500),
      kind: z.string().max(65).optional(),
      op: z.optional(operationId),
      operator: z.optional(operatorName),
      since: seconds.optional(),
      until: seconds.optional(),
    }),
    result: z.strictObject({ rows: z.array(auditRow), next: z.number().int().nullable() }),
  },
  /** The newest row, sealed as the end of an export. */
  'audit.end': {
    params: z.strictObject({}),
    result: z.strictObject({ n: z.number().int(), hash: bytes32, end: compactToken }),
  },
  /** Removes a factor; with the last tries' count, so a locked operator starts afresh. */
  'factor.remove': {
    params: z.strictObject({ name: operatorName, kind: method, kid: z.optional(bytes32) }),
    result: z.strictObject({}),
  },
} as const;

export type SignerMethods = typeof signerMethods;
export type AdminMethods = typeof adminMethods;
export type Params<M, N extends keyof M> = M[N] extends { params: infer P extends z.ZodType } ? z.input<P> : never;
export type Result<M, N extends keyof M> = M[N] extends { result: infer R extends z.ZodType } ? z.output<R> : never;

export const requestLine = z.strictObject({
  id: z.number().int().min(0),
  method: z.string().max(40),
  params: z.unknown(),
  /** Which request of a client this is asked for: for the log alone. */
  request: z.string().regex(REQUEST_ID).optional(),
});

export const responseLine = z.union([
  z.strictObject({ id: z.number().int(), result: z.unknown() }),
  z.strictObject({
    id: z.number().int(),
    error: z.strictObject({
      code: z.string(),
      details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  }),
]);
