// What the HTTP API takes and gives around machines: join tokens, operators, the trust file. As in schemas.ts, one schema a body,
// strict both ways.

import { z } from 'zod';
import { signedRoot } from '../../protocol/root.ts';
import { bytes32, operationId, operatorName, projectName, vmId } from '../../protocol/schema.ts';
import { proof } from '../signer/requests.ts';
import { next, pageQuery } from './pages.ts';
import { proofMethods, time, vmName } from './schemas.ts';
import { projectView, role } from './schemas-people.ts';

export const joinTokenParams = z.strictObject({ id: z.string().regex(/^tok_[0-9a-hjkmnp-tv-z]{26}$/) });

/** `POST /v1/join-tokens` */
export const joinTokenRequest = z
  .strictObject({
    name: vmName.optional(),
    /** Up to an hour for one machine, up to 30 days for several. */
    ttl_s: z.number().int().min(1).max(2_592_000).optional(),
    /** How many machines it may make: one, or a group that grows by itself. */
    uses: z.number().int().min(1).max(10_000).optional(),
    /** SMBIOS system UUID of the one instance that may use it. */
    instance: z.guid().optional(),
    /** Whose machines it makes: the installation's own project without it. */
    project: z.optional(projectName),
  })
  .nullish();
export type JoinTokenRequest = z.infer<typeof joinTokenRequest>;

export const joinTokenCreated = z.strictObject({
  id: z.string(),
  /** Shown once, stored as its hash. */
  token: z.string().regex(/^lkj_[A-Za-z0-9_-]{43}$/),
  name: vmName.nullable(),
  expires_at: time,
});
export type JoinTokenCreated = z.infer<typeof joinTokenCreated>;

export const joinTokenView = z.strictObject({
  id: z.string(),
  name: vmName.nullable(),
  created_at: time,
  expires_at: time,
  state: z.enum(['live', 'used', 'expired', 'revoked']),
  uses: z.number().int(),
  uses_max: z.number().int(),
  /** Whether only one instance may use it. */
  bound: z.boolean(),
  /** The last use, and the machine that it made. */
  used_at: time.nullable(),
  vm: z.nullable(vmId),
});
export type JoinTokenView = z.infer<typeof joinTokenView>;
/** `GET /v1/join-tokens` */
export const joinTokenQuery = z.strictObject(pageQuery);
export const joinTokenList = z.strictObject({ items: z.array(joinTokenView), next });
export type JoinTokenList = z.infer<typeof joinTokenList>;

/** `POST /v1/operators`: a member of one project with an API key. Their factor is registered on the host, with the signer. */
export const operatorRequest = z.strictObject({
  name: operatorName,
  project: z.optional(projectName),
  /** `admin` without it. */
  role: role.optional(),
});
export type OperatorRequest = z.infer<typeof operatorRequest>;
export const operatorCreated = z.strictObject({
  name: operatorName,
  /** Shown once, stored as its hash. */
  api_key: z.string().regex(/^lk_[A-Za-z0-9_-]{43}$/),
});

/** `GET /v1/trust`: what `trust.json` in a guest is made of. */
export const trustView = z.strictObject({
  v: z.literal(1),
  url: z.array(z.string()),
  ca_pem: z.string(),
  root: signedRoot,
});

export const whoamiView = z.strictObject({
  operator: operatorName,
  /** The installation's own. */
  project: projectName,
  iss: z.string(),
  /** Where the operator is a member. */
  projects: z.array(projectView),
});

/** `POST /v1/vms/:vm/release-intent`: what an operator proves to let a held identity in again. */
export const releaseIntent = z.strictObject({
  op: operationId,
  /** Base64url of the canonical bytes that a proof covers. */
  intent: z.string(),
  intent_hash: bytes32,
  not_after: z.number().int(),
  /** Whose proof it is: of who asks for it, or of the second person who approves the same. */
  awaits: z.enum(['first', 'second']),
  methods: z.array(proofMethods),
});
export type ReleaseIntent = z.infer<typeof releaseIntent>;

/** `POST /v1/vms/:vm/release`: 202 and a machine that is still held where a second person has to prove the same. */
export const releaseRequest = z.strictObject({ op: operationId, intent_hash: bytes32, proof });
export type ReleaseRequest = z.infer<typeof releaseRequest>;
