// Who may do what: the roles within a project, what each may do there, and what each request of the API needs, as one table.
// Pure; api/guard.ts holds every request to it, and a request that is not in it does not start.

export const roles = ['viewer', 'operator', 'auditor', 'admin'] as const;
export type Role = (typeof roles)[number];

/** `audit`: who did what, beside what happened. */
export const rights = ['read', 'operate', 'audit', 'administer'] as const;
export type Right = (typeof rights)[number];

const granted: Readonly<Record<Role, readonly Right[]>> = {
  viewer: ['read'],
  operator: ['read', 'operate'],
  auditor: ['read', 'audit'],
  admin: ['read', 'operate', 'audit', 'administer'],
};

export function may(role: Role, right: Right): boolean {
  return granted[role].includes(right);
}

/**
 * What a request is about, which says whose project counts: a thing that its path names (`vm`, `operation`, `bulk`,
 * `join_token`, `invitation`, `webhook`) or its body (`vm_in_body`), a project that its path or body names or else the installation's own
 * (`project`), the installation as such, which its own project stands for, or whatever there is in the projects of the caller
 * (`all`).
 */
export type About =
  | 'vm'
  | 'vm_in_body'
  | 'operation'
  | 'bulk'
  | 'join_token'
  | 'invitation'
  | 'webhook'
  | 'project'
  | 'installation'
  | 'all';

/**
 * `open`: of anyone. `signed_in`: of whoever is known, about themselves or about what is no secret to them. `person`: of whoever
 * has a session, which no program with a key has.
 */
export type Need = 'open' | 'signed_in' | 'person' | Readonly<{ right: Right; about: About }>;

const read = (about: About): Need => ({ right: 'read', about });
const operate = (about: About): Need => ({ right: 'operate', about });
const administer = (about: About): Need => ({ right: 'administer', about });

/** By the request's name in the contract. */
const needs: Readonly<Record<string, Need>> = {
  listVms: read('all'),
  createVm: operate('project'),
  removeVm: operate('vm'),
  getVm: read('vm'),
  changeVm: operate('vm'),
  getOwner: read('vm'),
  setOwner: administer('vm'),
  getPreflight: read('vm'),
  askPreflight: operate('vm'),
  askPreflights: operate('project'),
  buildReleaseIntent: operate('vm'),
  releaseVm: operate('vm'),

  createOperation: operate('vm_in_body'),
  listOperations: read('all'),
  getOperation: read('operation'),
  buildIntent: operate('operation'),
  getIntent: operate('operation'),
  mailCode: operate('operation'),
  beginPasskeyProof: operate('operation'),
  submitOperation: operate('operation'),
  cancelOperation: operate('operation'),
  markCollected: operate('operation'),

  createBulk: operate('project'),
  listBulks: read('all'),
  getBulk: read('bulk'),
  buildBulkIntent: operate('bulk'),
  getBulkIntent: operate('bulk'),
  mailBulkCode: operate('bulk'),
  beginBulkPasskeyProof: operate('bulk'),
  submitBulk: operate('bulk'),
  stopBulk: operate('bulk'),

  streamEvents: read('all'),
  streamProjectEvents: read('project'),
  streamVmEvents: read('vm'),
  streamOperationEvents: read('operation'),

  createWebhook: administer('project'),
  listWebhooks: administer('all'),
  getWebhook: administer('webhook'),
  removeWebhook: administer('webhook'),
  testWebhook: administer('webhook'),
  listDeliveries: administer('webhook'),
  redeliver: administer('webhook'),

  createJoinToken: administer('project'),
  listJoinTokens: read('all'),
  revokeJoinToken: administer('join_token'),
  getTrust: 'signed_in',
  createOperator: administer('project'),
  listProjects: 'signed_in',
  createProject: administer('installation'),
  listMembers: read('project'),
  putMember: administer('project'),
  removeMember: administer('project'),
  createApiKey: 'signed_in',
  listApiKeys: 'signed_in',
  revokeApiKey: 'signed_in',
  createInvitation: administer('project'),
  listInvitations: administer('all'),
  revokeInvitation: administer('invitation'),

  signIn: 'open',
  beginSso: 'open',
  endSso: 'open',
  beginPasskeySignIn: 'open',
  passkeySignIn: 'open',
  acceptInvitation: 'open',
  getSession: 'person',
  signOut: 'person',
  signOutEverywhere: 'person',
  changePassword: 'person',
  beginSignInPasskey: 'person',
  addSignInPasskey: 'person',
  listSignInPasskeys: 'person',
  removeSignInPasskey: 'person',
  beginDeviceLogin: 'open',
  takeDeviceLogin: 'open',
  lookAtDeviceLogin: 'person',
  approveDeviceLogin: 'person',
  denyDeviceLogin: 'person',
  beginPasskey: 'signed_in',
  registerPasskey: 'signed_in',
  whoami: 'signed_in',

  health: 'open',
  getOpenapi: 'open',
  readDocs: 'open',
  devicePage: 'open',
  deviceScript: 'open',
  deviceStyle: 'open',
};

/** Throws for a request that nobody decided about: a defect. */
export function needOf(id: string): Need {
  const need = Object.hasOwn(needs, id) ? needs[id] : undefined;
  if (need === undefined) throw new TypeError(`no right for ${id}`);
  return need;
}

export const decided: readonly string[] = Object.keys(needs);
