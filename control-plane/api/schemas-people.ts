// What the HTTP API takes and gives around people and programs: projects, their members, and API keys. As in schemas.ts, one schema
// a body, strict both ways.

import { z } from 'zod';
import { operatorName, projectName } from '../../protocol/schema.ts';
import { rights, roles } from '../core/rights.ts';
import { time } from './schemas.ts';

const YEAR_S = 31_536_000;

export const role = z.enum(roles);
const scope = z.enum(rights);
const label = z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u);

export const memberParams = z.strictObject({ project: projectName, operator: operatorName });

/** `POST /v1/projects` */
export const projectRequest = z.strictObject({ name: projectName });
/** A project, and what the caller is in it. */
export const projectView = z.strictObject({ project: projectName, role });
export const projectList = z.strictObject({ items: z.array(projectView) });

/** `POST /v1/projects/{project}/members`: makes an operator a member, or changes their role. */
export const memberRequest = z.strictObject({ operator: operatorName, role });
export const memberView = memberRequest;
export const memberList = z.strictObject({ items: z.array(memberView) });

export const apiKeyParams = z.strictObject({ id: z.string().regex(/^key_[A-Za-z0-9_-]{16}$/) });

/** `POST /v1/api-keys`: never good for more, or for longer, than the key that it is made with. */
export const apiKeyRequest = z.strictObject({
  name: label.optional(),
  /** What may be done with it, where the operator's role allows it: `read` without it. */
  scopes: z.array(scope).min(1).max(rights.length).optional(),
  /** 90 days without it, a year at most. */
  ttl_s: z.number().int().min(60).max(YEAR_S).optional(),
  /** Good for this project alone. */
  project: z.optional(projectName),
});
export type ApiKeyRequest = z.infer<typeof apiKeyRequest>;

export const apiKeyView = z.strictObject({
  id: z.string(),
  operator: operatorName,
  name: label.nullable(),
  scopes: z.array(scope),
  project: z.nullable(projectName),
  created_at: time,
  /** `null`: never; such a key comes with its operator. */
  expires_at: time.nullable(),
  state: z.enum(['live', 'expired', 'revoked']),
});
export const apiKeyCreated = z.strictObject({
  ...apiKeyView.shape,
  /** Shown once, stored as its hash. */
  api_key: z.string().regex(/^lk_[A-Za-z0-9_-]{43}$/),
});
export const apiKeyList = z.strictObject({ items: z.array(apiKeyView) });
