// What the HTTP API takes and gives around the login of a program: RFC 8628 in its words, as JSON.

import { z } from 'zod';
import { bytes32 } from '../../protocol/schema.ts';
import { rights } from '../core/rights.ts';
import { time } from './schemas.ts';
import { apiKeyRequest } from './schemas-people.ts';
import { userCode } from './schemas-sign-in.ts';

/** Consonants, which make no words, and none that is taken for another (RFC 8628, 6.1). */
export const USER_CODE_SIGNS = 'BCDFGHJKLMNPQRSTVWXZ';
const scopes = z.array(z.enum(rights)).min(1).max(rights.length);

/** `POST /v1/auth/device` */
export const deviceRequest = z.strictObject({
  host: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,54}$/),
  /** `read` and `operate` without it. */
  scopes: scopes.optional(),
  /** Of the key that is to come: 30 days without it. */
  ttl_s: apiKeyRequest.shape.ttl_s,
});
export const deviceBegun = z.strictObject({
  device_code: bytes32,
  user_code: z.string(),
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
  /** In seconds, both. */
  expires_in: z.number().int(),
  interval: z.number().int(),
});

/** `POST /v1/auth/device/token` */
export const deviceTake = z.strictObject({ device_code: bytes32 });

/** `POST /v1/auth/device/look`, `…/approve` and `…/deny` */
export const deviceNamed = z.strictObject({ user_code: userCode });
export const deviceView = z.strictObject({
  user_code: z.string(),
  /** By its own word. */
  host: z.string(),
  /** Where it asked from. */
  address: z.string(),
  asked: scopes,
  /** What it would get of that: no more than this person may do themselves. */
  scopes: z.array(z.enum(rights)),
  asked_at: time,
  expires_at: time,
  /** Until when its key would be good, if it were let in now. */
  key_expires_at: time,
});
