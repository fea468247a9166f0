// What the HTTP API takes and gives around signing in, and invitations. A sign-in password goes to the library that hashes it, and
// nowhere else; it is a person's own and never one of a machine.

import { z } from 'zod';
import { bytes32, operatorName, projectName } from '../../protocol/schema.ts';
import { mailAddress } from '../config/mail.ts';
import { PASSWORD_MAX, PASSWORD_MIN } from '../people/sign-in.ts';
import { assertionResponse, attestationResponse } from '../signer/requests.ts';
import { time } from './schemas.ts';
import { role } from './schemas-people.ts';

/** Of a program that waits to be let in, as people write it: with or without the dash, in whatever case. */
export const userCode = z.string().regex(/^[B-DF-HJ-NP-TV-XZ]{4}-?[B-DF-HJ-NP-TV-XZ]{4}$/i);

const email = z.string().max(254).regex(mailAddress);
const password = z.string().min(PASSWORD_MIN).max(PASSWORD_MAX);
const personName = z.string().trim().min(1).max(100);

/** `POST /v1/auth/sign-in` */
export const signInRequest = z.strictObject({ email, password: z.string().min(1).max(PASSWORD_MAX) });
/** Whose session it is; what shows it is in the cookie alone. */
export const sessionView = z.strictObject({
  operator: operatorName,
  email: z.string(),
  name: z.string(),
  expires_at: time,
});

/** `POST /v1/auth/sso`: with the code of a program that waits, the browser comes back to that. */
export const ssoRequest = z.strictObject({ user_code: userCode.optional() }).nullish();
/** Where the browser goes next. */
export const ssoView = z.strictObject({ url: z.string() });
export const providerParams = z.strictObject({ provider: z.literal('sso') });
/** What an OpenID provider adds to the address (OpenID Connect Core, 3.1.2.5). */
const said = z.string().max(4_000).optional();
export const ssoQuery = z.object({
  ...{ state: said, code: said, iss: said, session_state: said, scope: said },
  ...{ error: said, error_description: said },
});

/** `POST /v1/auth/password`: all other sessions end. */
export const passwordChange = z.strictObject({ current: z.string().min(1).max(PASSWORD_MAX), new: password });

/** What `navigator.credentials` gave, as it is. */
export const passkeyAnswer = z.strictObject({
  response: z.union([assertionResponse, attestationResponse]),
  name: personName.optional(),
});
export const signInPasskeyParams = z.strictObject({ id: z.string().regex(/^[A-Za-z0-9_-]{8,64}$/) });
export const signInPasskeyList = z.strictObject({
  items: z.array(z.strictObject({ id: z.string(), name: z.string().nullable(), created_at: time })),
});

/** `POST /v1/invitations` */
export const invitationRequest = z.strictObject({
  email,
  operator: operatorName,
  role,
  project: z.optional(projectName),
});
export const invitationView = z.strictObject({
  id: z.string(),
  email: z.string(),
  operator: operatorName,
  project: projectName,
  role,
  created_by: operatorName,
  created_at: time,
  expires_at: time,
  state: z.enum(['live', 'accepted', 'expired', 'revoked']),
});
/** `link` is shown once: whoever opens it is who was invited. `mailed`: the mail server took a letter with it. */
export const invitationCreated = z.strictObject({ ...invitationView.shape, link: z.string(), mailed: z.boolean() });
export const invitationList = z.strictObject({ items: z.array(invitationView) });
export const invitationParams = z.strictObject({ id: z.string().regex(/^inv_[0-9a-hjkmnp-tv-z]{26}$/) });

/** `POST /v1/auth/invitations`: without a password for one who signs in at the provider of single sign-on. */
export const acceptRequest = z.strictObject({
  invitation: bytes32,
  name: personName,
  password: password.optional(),
});
export const acceptedView = z.strictObject({ operator: operatorName, email: z.string() });
