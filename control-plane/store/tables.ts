// The tables, as the query builder types them. Times are milliseconds since 1970; members ending in `_json` hold JSON that
// this program wrote itself. migrations.ts makes them.

import type { Generated } from 'kysely';

export type VmTable = {
  id: string;
  agent: string;
  name: string;
  project: string;
  ik_json: string;
  ik_kid: string;
  ek_json: string;
  machine_sha256: string;
  enrolled_at: number;
  last_seen: number | null;
  boot: string | null;
  facts_json: string | null;
  agent_version: string | null;
  /** The hello counter that was last confirmed. */
  ctr: number;
  jhead: string | null;
  flags_json: string;
  /** Why its identity is held, and since when; both `null` where it is not. */
  quarantine_code: string | null;
  quarantined_at: number | null;
  labels_json: string;
  /** The token that it enrolled with, or shall enrol with. */
  join_token: string | null;
  /** 1: registered, and to come; 2: taken back before it came. Its keys are not known then. */
  awaited: number;
  /** Of a machine that was registered before it came. */
  provision_json: string | null;
};

/** What is searched for is a column; the rest of an operation is its record. */
export type OperationTable = {
  seq: Generated<number>;
  op: string;
  vm: string;
  project: string;
  /** Who asked. */
  operator: string;
  created_at: number;
  state: string;
  approved: number;
  ended: number;
  updated_at: number;
  /** Whether sealed secrets wait to be collected. */
  sealed: number;
  /** The operation of the intent that it is one of many of, and whether it may begin. */
  bulk: string | null;
  turn: number;
  record_json: string;
};

export type ReceiptTable = {
  op: string;
  n: number;
  token: string;
  sha256: string;
  state: string;
  code: string | null;
  at: number;
  detail_json: string;
};

export type EventTable = {
  id: Generated<number>;
  at: number;
  vm: string | null;
  op: string | null;
  type: string;
  data_json: string;
  project: string;
};

export type JoinTokenTable = {
  id: string;
  sha256: string;
  name: string | null;
  created_by: string;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  /** The last use, and the machine that it made. */
  used_at: number | null;
  vm: string | null;
  project: string;
  uses_max: number;
  uses: number;
  /** Only the instance with this hash may use it; `null` for any. */
  instance_sha256: string | null;
};

/** A receiver of webhooks. Its secret is kept as it is: whoever signs with it needs it. */
export type WebhookTable = {
  id: string;
  project: string;
  url: string;
  /** The types of events that it gets. */
  events_json: string;
  secret: string;
  created_by: string;
  created_at: number;
  /** The last event that was looked at for it. */
  cursor: number;
};

/** One message to one receiver, as often as it is tried. */
export type DeliveryTable = {
  seq: Generated<number>;
  id: string;
  webhook: string;
  type: string;
  body: string;
  state: 'pending' | 'delivered' | 'dead';
  attempts: number;
  /** By the database's clock, as the lease is. */
  next_at: number;
  lease: string | null;
  lease_until: number;
  /** What the last attempt was answered, and why it failed. */
  status: number | null;
  error: string | null;
  created_at: number;
  updated_at: number;
};

export type Tables = {
  webhooks: WebhookTable;
  /** Who is told by mail of resets of a machine. */
  vm_owners: { vm: string; email: string };
  /** Mails of resets that were not sent yet. */
  letters: { op: string; recipient: string; attempts: number; next_at: number };
  deliveries: DeliveryTable;
  vms: VmTable;
  /** What `labels_json` says, to choose machines by. */
  vm_labels: { vm: string; name: string; value: string };
  operations: OperationTable;
  receipts: ReceiptTable;
  events: EventTable;
  join_tokens: JoinTokenTable;
  /** The newest of each machine. */
  preflights: { vm: string; at: number; operator: string; token: string | null; code: string | null };
  /** Every journal head that a machine's hello named: one that comes back after another is an older disk. */
  journal_heads: { vm: string; jhead: string; at: number };
  /** Nonces that agents drew, so that none is taken twice. */
  nonces: { nonce: string; at: number };
  /** Gateways that run, by the database's clock. */
  gateways: { id: string; seen_at: number };
  /** Through which gateway, and which connection there, a machine is connected. */
  connections: { vm: string; gateway: string; session: string; since: number };
  /** Asked of the gateway that a machine is connected through, by another program. */
  questions: {
    id: Generated<number>;
    vm: string;
    gateway: string;
    asked_json: string;
    answer_json: string | null;
    asked_at: number;
  };
  /** What stands here once for all operations of a bulk; the rest is its record. */
  bulks: {
    seq: Generated<number>;
    op: string;
    project: string;
    concurrency: number;
    created_at: number;
    /** Whether its proof is missing. */
    open: number;
    /** The intent's bytes. */
    intent: string | null;
    record_json: string;
  };
  /** Of requests that came with a key. */
  kept_answers: { key_sha256: string; request_sha256: string; made: string; answer_json: string | null; at: number };
  operators: { name: string; created_at: number };
  projects: { name: string; created_at: number };
  invitations: {
    id: string;
    sha256: string;
    email: string;
    operator: string;
    project: string;
    role: string;
    of_existing: number;
    created_by: string;
    created_at: number;
    expires_at: number;
    accepted_at: number | null;
    revoked_at: number | null;
  };
  /** Of better-auth's tables, those that something here writes or reads, too. */
  auth_users: {
    id: string;
    name: string;
    email: string;
    emailVerified: number;
    image: string | null;
    operator: string;
    createdAt: string;
    updatedAt: string;
  };
  auth_accounts: {
    id: string;
    accountId: string;
    providerId: string;
    userId: string;
    password: string | null;
    createdAt: string;
    updatedAt: string;
  };
  auth_settings: { name: string; value: string };
  /** Of programs that wait for a person to let them in; the hash is of the code that the program has. */
  device_logins: {
    sha256: string;
    user_code: string;
    host: string;
    address: string;
    scopes: string;
    ttl_s: number;
    created_at: number;
    expires_at: number;
    interval_s: number;
    polled_at: number | null;
    state: string;
    operator: string | null;
  };
  /** What is counted within a time: by person and by address. */
  device_tries: { seq: Generated<number>; who: string; at: number };
  memberships: { operator: string; project: string; role: string; added_at: number };
  /** What the signer's audit has not taken yet. */
  handover: { seq: Generated<number>; item_json: string };
  api_keys: {
    id: string;
    sha256: string;
    operator: string;
    name: string | null;
    scopes: string;
    project: string | null;
    created_at: number;
    expires_at: number | null;
    revoked_at: number | null;
  };
};
