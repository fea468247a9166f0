// What the requests of people are for: coming by invitation, signing in and out, and what one signs in with.

import type { Code } from '../../protocol/codes.ts';
import type { Entry } from './contract-entry.ts';

const signingIn = ['SIGN_IN_REFUSED', 'ORIGIN_REFUSED'] as const satisfies readonly Code[];

export const people = {
  'POST /v1/invitations': {
    id: 'createInvitation',
    tag: 'people',
    summary: 'Invites a person to sign in as an operator of a project. The link is shown once.',
    codes: ['NOT_FOUND', 'ALREADY_EXISTS'],
  },
  'GET /v1/invitations': {
    id: 'listInvitations',
    tag: 'people',
    summary: 'Invitations, newest first.',
    codes: ['NOT_FOUND'],
  },
  'DELETE /v1/invitations/:id': {
    id: 'revokeInvitation',
    tag: 'people',
    summary: 'Takes an invitation back.',
    codes: ['NOT_FOUND', 'STATE_CONFLICT'],
  },
  'POST /v1/auth/invitations': {
    id: 'acceptInvitation',
    tag: 'people',
    summary: 'Accepts an invitation, with the password to sign in with or for single sign-on.',
    codes: ['AUTHZ_INVALID', 'ORIGIN_REFUSED'],
    open: true,
  },
  'POST /v1/auth/sign-in': {
    id: 'signIn',
    tag: 'people',
    summary: 'Begins a session with an address and a password.',
    codes: signingIn,
    open: true,
  },
  'POST /v1/auth/sso': {
    id: 'beginSso',
    tag: 'people',
    summary: 'Where a browser goes to sign in at the OpenID provider.',
    codes: signingIn,
    open: true,
  },
  'GET /v1/auth/callback/:provider': {
    id: 'endSso',
    tag: 'people',
    summary: 'Where the OpenID provider sends a browser back to; begins a session.',
    codes: ['SIGN_IN_REFUSED'],
    open: true,
    moves: true,
  },
  'POST /v1/auth/passkey/options': {
    id: 'beginPasskeySignIn',
    tag: 'people',
    summary: 'Options for `navigator.credentials.get`, to sign in.',
    codes: signingIn,
    open: true,
  },
  'POST /v1/auth/passkey/sign-in': {
    id: 'passkeySignIn',
    tag: 'people',
    summary: 'Begins a session with a passkey.',
    codes: signingIn,
    open: true,
  },
  'GET /v1/auth/session': { id: 'getSession', tag: 'people', summary: 'Whose session it is.', codes: [] },
  'POST /v1/auth/sign-out': {
    id: 'signOut',
    tag: 'people',
    summary: 'Ends this session; streams that it opened end.',
    codes: [],
  },
  'POST /v1/auth/sign-out-everywhere': {
    id: 'signOutEverywhere',
    tag: 'people',
    summary: 'Ends all sessions of this person.',
    codes: [],
  },
  'POST /v1/auth/password': {
    id: 'changePassword',
    tag: 'people',
    summary: 'Another password to sign in with; all other sessions end.',
    codes: ['SIGN_IN_REFUSED'],
  },
  'POST /v1/auth/passkeys/options': {
    id: 'beginSignInPasskey',
    tag: 'people',
    summary: 'Options for `navigator.credentials.create`, for a passkey to sign in with.',
    codes: [],
  },
  'POST /v1/auth/passkeys': {
    id: 'addSignInPasskey',
    tag: 'people',
    summary: 'Keeps a passkey to sign in with. It approves nothing.',
    codes: [],
  },
  'GET /v1/auth/passkeys': {
    id: 'listSignInPasskeys',
    tag: 'people',
    summary: 'The passkeys that this person signs in with.',
    codes: [],
  },
  'DELETE /v1/auth/passkeys/:id': {
    id: 'removeSignInPasskey',
    tag: 'people',
    summary: 'Forgets a passkey to sign in with.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/auth/device': {
    id: 'beginDeviceLogin',
    tag: 'people',
    summary: 'Begins the login of a program (RFC 8628): a code for a person to let it in with, and one to wait with.',
    codes: ['ORIGIN_REFUSED'],
    open: true,
  },
  'POST /v1/auth/device/token': {
    id: 'takeDeviceLogin',
    tag: 'people',
    summary: 'What became of the login: an API key, once, where a person has let the program in.',
    codes: ['AUTHZ_INVALID', 'LOGIN_PENDING', 'LOGIN_SLOW_DOWN', 'LOGIN_EXPIRED', 'LOGIN_DENIED', 'ORIGIN_REFUSED'],
    open: true,
  },
  'POST /v1/auth/device/look': {
    id: 'lookAtDeviceLogin',
    tag: 'people',
    summary: 'Which program waits with that code, and what it asks for.',
    codes: ['NOT_FOUND', 'LOGIN_EXPIRED', 'STATE_CONFLICT'],
  },
  'POST /v1/auth/device/approve': {
    id: 'approveDeviceLogin',
    tag: 'people',
    summary: 'Lets the program in, as this person, for no more than what was shown.',
    codes: ['NOT_FOUND', 'LOGIN_EXPIRED', 'STATE_CONFLICT'],
  },
  'POST /v1/auth/device/deny': {
    id: 'denyDeviceLogin',
    tag: 'people',
    summary: 'Turns the program away.',
    codes: ['NOT_FOUND', 'LOGIN_EXPIRED', 'STATE_CONFLICT'],
  },
  'GET /device': {
    id: 'devicePage',
    tag: 'people',
    summary: 'The page on which a person lets a program in.',
    codes: [],
    open: true,
    type: 'text/html',
  },
  'GET /device/page.js': {
    id: 'deviceScript',
    tag: 'people',
    summary: 'The script of that page.',
    codes: [],
    open: true,
    type: 'text/javascript',
  },
  'GET /device/page.css': {
    id: 'deviceStyle',
    tag: 'people',
    summary: 'The style of that page.',
    codes: [],
    open: true,
    type: 'text/css',
  },
} as const satisfies Record<string, Entry>;
