// The database's versions, one numbered step after the other, each applied whole or not at all. A step that was released
// never changes; a database from a later version than the last step is refused and left as it is. Steps are in SQLite's
// words; postgres.ts says how PostgreSQL reads them.

import { Failure } from '../../protocol/failure.ts';
import type { Migration } from './engine.ts';

export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
CREATE TABLE vms (
  id TEXT PRIMARY KEY, agent TEXT NOT NULL UNIQUE, name TEXT NOT NULL, project TEXT NOT NULL,
  ik_json TEXT NOT NULL, ik_kid TEXT NOT NULL UNIQUE, ek_json TEXT NOT NULL, machine_sha256 TEXT NOT NULL, enrolled_at INTEGER NOT NULL,
  last_seen INTEGER, boot TEXT, facts_json TEXT, agent_version TEXT, ctr INTEGER NOT NULL, jhead TEXT,
  flags_json TEXT NOT NULL, labels_json TEXT NOT NULL, UNIQUE (project, name)) STRICT;
CREATE TABLE operations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, op TEXT NOT NULL UNIQUE, vm TEXT NOT NULL REFERENCES vms (id),
  state TEXT NOT NULL, approved INTEGER NOT NULL, ended INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  sealed INTEGER NOT NULL, record_json TEXT NOT NULL) STRICT;
CREATE INDEX operations_by_vm ON operations (vm, seq);
CREATE INDEX operations_open ON operations (ended, vm) WHERE ended = 0;
CREATE INDEX operations_sealed ON operations (seq) WHERE sealed = 1;
CREATE TABLE receipts (
  op TEXT NOT NULL REFERENCES operations (op), n INTEGER NOT NULL, token TEXT NOT NULL, sha256 TEXT NOT NULL,
  state TEXT NOT NULL, code TEXT, at INTEGER NOT NULL, detail_json TEXT NOT NULL, PRIMARY KEY (op, n)) STRICT;
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, vm TEXT, op TEXT, type TEXT NOT NULL,
  data_json TEXT NOT NULL) STRICT;
CREATE INDEX events_by_op ON events (op, id);
CREATE INDEX events_by_vm ON events (vm, id);
CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, name TEXT, created_by TEXT NOT NULL, created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, revoked_at INTEGER, used_at INTEGER, vm TEXT) STRICT;
CREATE TABLE nonces (nonce TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE INDEX nonces_by_time ON nonces (at);
CREATE TABLE operators (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE api_keys (
  sha256 TEXT PRIMARY KEY, operator TEXT NOT NULL REFERENCES operators (name), created_at INTEGER NOT NULL) STRICT;
`,
  },
  {
    version: 2,
    sql: `
CREATE TABLE preflights (
  vm TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE, at INTEGER NOT NULL, operator TEXT NOT NULL, token TEXT,
  code TEXT) STRICT;
`,
  },
  {
    version: 3,
    sql: `
ALTER TABLE vms ADD COLUMN quarantine_code TEXT;
ALTER TABLE vms ADD COLUMN quarantined_at INTEGER;
CREATE TABLE journal_heads (
  vm TEXT NOT NULL REFERENCES vms (id), jhead TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (vm, jhead)) STRICT;
`,
  },
  {
    version: 4,
    sql: `
ALTER TABLE join_tokens ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE join_tokens ADD COLUMN uses_max INTEGER NOT NULL DEFAULT 1;
ALTER TABLE join_tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE join_tokens ADD COLUMN instance_sha256 TEXT;
UPDATE join_tokens SET uses = 1 WHERE used_at IS NOT NULL;
ALTER TABLE vms ADD COLUMN join_token TEXT;
UPDATE vms SET join_token = (SELECT id FROM join_tokens WHERE join_tokens.vm = vms.id);
`,
  },
  {
    version: 5,
    sql: `
CREATE TABLE handover (seq INTEGER PRIMARY KEY AUTOINCREMENT, item_json TEXT NOT NULL) STRICT;
`,
    // No database of PostgreSQL is older than this.
    sqlite: `
INSERT INTO handover (item_json)
  SELECT json_object('t', 'machine', 'agent', agent, 'vm', id, 'project', project, 'ik', json(ik_json), 'ek', json(ek_json))
  FROM vms ORDER BY enrolled_at;
`,
  },
  {
    version: 6,
    sql: `
CREATE TABLE gateways (id TEXT PRIMARY KEY, seen_at INTEGER NOT NULL) STRICT;
CREATE TABLE connections (
  vm TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE, gateway TEXT NOT NULL, session TEXT NOT NULL,
  since INTEGER NOT NULL) STRICT;
CREATE INDEX connections_by_gateway ON connections (gateway);
CREATE TABLE questions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, vm TEXT NOT NULL, gateway TEXT NOT NULL, asked_json TEXT NOT NULL,
  answer_json TEXT, asked_at INTEGER NOT NULL) STRICT;
`,
    // Programs on several machines: a clock that they share, and rings that carry which machine something happened to.
    postgres: `
CREATE FUNCTION clock_ms() RETURNS BIGINT LANGUAGE sql AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT $$;
CREATE FUNCTION latchkey_ring() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_notify('latchkey', coalesce(NEW.vm, '')); RETURN NULL; END $$;
CREATE TRIGGER events_ring AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION latchkey_ring();
CREATE TRIGGER questions_ring AFTER INSERT OR UPDATE ON questions FOR EACH ROW EXECUTE FUNCTION latchkey_ring();
`,
  },
  {
    version: 7,
    // No machine of an earlier version has a label.
    sql: `
CREATE TABLE vm_labels (
  vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (vm, name)) STRICT;
CREATE INDEX vm_labels_by_value ON vm_labels (name, value, vm);
CREATE INDEX vms_by_project ON vms (project, id);
CREATE INDEX vms_by_version ON vms (agent_version, id);
CREATE INDEX vms_by_last_seen ON vms (last_seen, id);
ALTER TABLE operations ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE operations ADD COLUMN operator TEXT NOT NULL DEFAULT '';
ALTER TABLE operations ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX operations_by_project ON operations (project, seq);
CREATE INDEX operations_by_state ON operations (state, seq);
CREATE INDEX operations_by_operator ON operations (operator, seq);
CREATE INDEX join_tokens_by_time ON join_tokens (created_at, id);
`,
    sqlite: `
UPDATE operations SET project = record_json ->> '$.project', operator = record_json ->> '$.operator',
  created_at = record_json ->> '$.createdAt';
`,
    postgres: `
UPDATE operations SET project = record_json::jsonb ->> 'project', operator = record_json::jsonb ->> 'operator',
  created_at = (record_json::jsonb ->> 'createdAt')::BIGINT;
`,
  },
  {
    // Until then there was one project, of which every operator may do everything.
    version: 8,
    sql: `
CREATE TABLE projects (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT;
INSERT INTO projects VALUES ('default', 0);
CREATE TABLE memberships (
  operator TEXT NOT NULL REFERENCES operators (name), project TEXT NOT NULL REFERENCES projects (name), role TEXT NOT NULL,
  added_at INTEGER NOT NULL, PRIMARY KEY (operator, project)) STRICT;
INSERT INTO memberships SELECT name, 'default', 'admin', created_at FROM operators;
ALTER TABLE events ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
CREATE INDEX events_by_project ON events (project, id);
`,
  },
  {
    version: 9,
    sql: `
CREATE TABLE kept_answers (
  key_sha256 TEXT PRIMARY KEY, request_sha256 TEXT NOT NULL, made TEXT NOT NULL, answer_json TEXT,
  at INTEGER NOT NULL) STRICT;
CREATE INDEX kept_answers_by_time ON kept_answers (at);
`,
  },
  {
    // A key that was made before may do whatever its operator may.
    version: 10,
    sql: `
ALTER TABLE api_keys ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE api_keys SET id = 'key_' || substr(sha256, 1, 16);
CREATE UNIQUE INDEX api_keys_by_id ON api_keys (id);
ALTER TABLE api_keys ADD COLUMN name TEXT;
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'read operate audit administer';
ALTER TABLE api_keys ADD COLUMN project TEXT;
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN revoked_at INTEGER;
`,
  },
  {
    version: 11,
    sql: `
CREATE TABLE webhooks (
  id TEXT PRIMARY KEY, project TEXT NOT NULL, url TEXT NOT NULL, events_json TEXT NOT NULL, secret TEXT NOT NULL,
  created_by TEXT NOT NULL, created_at INTEGER NOT NULL, cursor INTEGER NOT NULL) STRICT;
CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  webhook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE, type TEXT NOT NULL, body TEXT NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, lease TEXT, lease_until INTEGER NOT NULL,
  status INTEGER, error TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook, seq);
CREATE INDEX deliveries_pending ON deliveries (webhook, next_at) WHERE state = 'pending';
CREATE INDEX deliveries_over ON deliveries (updated_at) WHERE state <> 'pending';
`,
  },
  {
    version: 12,
    // Of a machine to come the keys are JSON's null, and its own id stands for their thumbprint.
    sql: `
ALTER TABLE vms ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN provision_json TEXT;
CREATE INDEX vms_awaited ON vms (join_token) WHERE awaited = 1;
`,
  },
  {
    version: 13,
    sql: `
CREATE TABLE bulks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, op TEXT NOT NULL UNIQUE, project TEXT NOT NULL, concurrency INTEGER NOT NULL,
  created_at INTEGER NOT NULL, open INTEGER NOT NULL, intent TEXT, record_json TEXT NOT NULL) STRICT;
CREATE INDEX bulks_by_project ON bulks (project, seq);
CREATE INDEX bulks_open ON bulks (seq) WHERE open = 1;
ALTER TABLE operations ADD COLUMN bulk TEXT REFERENCES bulks (op);
ALTER TABLE operations ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
CREATE INDEX operations_by_bulk ON operations (bulk, seq) WHERE bulk IS NOT NULL;
`,
  },
  {
    version: 14,
    sql: `
CREATE TABLE vm_owners (vm TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE, email TEXT NOT NULL) STRICT;
CREATE TABLE letters (
  op TEXT PRIMARY KEY REFERENCES operations (op) ON DELETE CASCADE, recipient TEXT NOT NULL, attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL) STRICT;
CREATE INDEX letters_by_time ON letters (next_at);
`,
  },
  {
    // What is named `auth_…` is as better-auth wants it, with its names of columns: times as text, truths as numbers.
    version: 15,
    sql: `
CREATE TABLE auth_users (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, "emailVerified" INTEGER NOT NULL, image TEXT,
  operator TEXT NOT NULL UNIQUE REFERENCES operators (name), "createdAt" TEXT NOT NULL, "updatedAt" TEXT NOT NULL) STRICT;
CREATE TABLE auth_sessions (
  id TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, "userId" TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
  "ipAddress" TEXT, "userAgent" TEXT, "expiresAt" TEXT NOT NULL, "createdAt" TEXT NOT NULL, "updatedAt" TEXT NOT NULL) STRICT;
CREATE INDEX auth_sessions_by_user ON auth_sessions ("userId");
CREATE TABLE auth_accounts (
  id TEXT PRIMARY KEY, "accountId" TEXT NOT NULL, "providerId" TEXT NOT NULL,
  "userId" TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE, "accessToken" TEXT, "refreshToken" TEXT, "idToken" TEXT,
  "accessTokenExpiresAt" TEXT, "refreshTokenExpiresAt" TEXT, scope TEXT, password TEXT, "createdAt" TEXT NOT NULL,
  "updatedAt" TEXT NOT NULL) STRICT;
CREATE INDEX auth_accounts_by_user ON auth_accounts ("userId");
CREATE TABLE auth_verifications (
  id TEXT PRIMARY KEY, identifier TEXT NOT NULL, value TEXT NOT NULL, "expiresAt" TEXT NOT NULL, "createdAt" TEXT NOT NULL,
  "updatedAt" TEXT NOT NULL) STRICT;
CREATE INDEX auth_verifications_by_identifier ON auth_verifications (identifier);
CREATE TABLE auth_passkeys (
  id TEXT PRIMARY KEY, name TEXT, "publicKey" TEXT NOT NULL, "userId" TEXT NOT NULL REFERENCES auth_users (id) ON DELETE CASCADE,
  "credentialID" TEXT NOT NULL, counter INTEGER NOT NULL, "deviceType" TEXT NOT NULL, "backedUp" INTEGER NOT NULL,
  transports TEXT, "createdAt" TEXT, aaguid TEXT) STRICT;
CREATE INDEX auth_passkeys_by_user ON auth_passkeys ("userId");
CREATE INDEX auth_passkeys_by_credential ON auth_passkeys ("credentialID");
CREATE TABLE auth_rate_limits (
  id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, count INTEGER NOT NULL, "lastRequest" INTEGER NOT NULL) STRICT;
CREATE TABLE auth_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE invitations (
  id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, email TEXT NOT NULL, operator TEXT NOT NULL, project TEXT NOT NULL REFERENCES
  projects (name), role TEXT NOT NULL, of_existing INTEGER NOT NULL, created_by TEXT NOT NULL, created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, accepted_at INTEGER, revoked_at INTEGER) STRICT;
CREATE INDEX invitations_by_project ON invitations (project, created_at);
`,
  },
  {
    version: 16,
    sql: `
CREATE TABLE device_logins (
  sha256 TEXT PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, host TEXT NOT NULL, address TEXT NOT NULL, scopes TEXT NOT NULL,
  ttl_s INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, interval_s INTEGER NOT NULL,
  polled_at INTEGER, state TEXT NOT NULL, operator TEXT REFERENCES operators (name)) STRICT;
CREATE INDEX device_logins_by_end ON device_logins (expires_at);
CREATE TABLE device_tries (seq INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX device_tries_by_who ON device_tries (who, at);
CREATE INDEX device_tries_by_time ON device_tries (at);
`,
  },
];

export const SCHEMA_VERSION: number = migrations.at(-1)?.version ?? 0;

/** Throws `DATABASE_NEWER`. */
export function demandKnown(have: number): void {
  if (have > SCHEMA_VERSION) throw new Failure('DATABASE_NEWER', { have, known: SCHEMA_VERSION });
}
