// Machines: their keys, what their agents said of themselves, and what is odd about them.

import type { Ed25519Jwk } from '../../protocol/schema.ts';
import type { Facts } from '../../protocol/session.ts';
import { appendEvent } from './events.ts';
import { cutOff } from './gateways.ts';
import { handOver } from './handover.ts';
import { findJoinToken } from './join-tokens.ts';
import type { Db, Write } from './store.ts';
import type { VmTable } from './tables.ts';

/** How a machine was registered before it came, and the operation that sets its first passwords. */
export type Provision = Readonly<{ account: string | null; vncInitial: 'same' | 'independent' | null; op: string }>;

export type Vm = Readonly<{
  id: string;
  agent: string;
  name: string;
  project: string;
  /** Both `null` of a machine to come. */
  ik: Ed25519Jwk | null;
  ek: Ed25519Jwk | null;
  ikKid: string;
  machineSha256: string;
  /** `null` of a machine to come. */
  enrolledAt: number | null;
  lastSeen: number | null;
  boot: string | null;
  facts: Facts | null;
  agentVersion: string | null;
  ctr: number;
  jhead: string | null;
  flags: readonly string[];
  /** Its identity is held: whoever shows it gets in only after an operator has cleared it. */
  quarantine: Readonly<{ code: string; since: number }> | null;
  labels: Readonly<Record<string, string>>;
  /** The token that it enrolled with, or shall enrol with. */
  joinToken: string | null;
  provision: Provision | null;
  /** It was registered, and taken back before it came. */
  removed: boolean;
}>;
/** A machine that has come. */
export type EnrolledVm = Vm & Readonly<{ ik: Ed25519Jwk; ek: Ed25519Jwk; enrolledAt: number }>;

export async function insertVm(trx: Write, vm: Vm): Promise<void> {
  await trx.insertInto('vms').values(rowOf(vm)).execute();
  await indexLabels(trx, vm.id, vm.labels);
  if (isEnrolled(vm)) await tellEnrolled(trx, vm);
}

/** A machine that was registered, as it came. */
export async function enrolAwaited(trx: Write, vm: EnrolledVm): Promise<void> {
  await trx.updateTable('vms').set(rowOf(vm)).where('id', '=', vm.id).execute();
  await tellEnrolled(trx, vm);
}

async function tellEnrolled(trx: Write, { id, agent, name, project, ik, ek, enrolledAt, joinToken }: EnrolledVm) {
  const token = joinToken === null ? null : await findJoinToken(trx, joinToken);
  const joined = token ? { join_sha256: token.sha256 } : {};
  await handOver(trx, { t: 'machine', agent, vm: id, project, ik, ek, ...joined });
  await appendEvent(trx, { at: enrolledAt, vm: id, op: null, type: 'vm.enrolled', data: { name } });
}

export function isEnrolled(vm: Vm): vm is EnrolledVm {
  return vm.ik !== null && vm.ek !== null && vm.enrolledAt !== null;
}

/** The machine to come that shall enrol with that token. */
export async function awaitedBy(db: Db, joinToken: string): Promise<Vm | null> {
  const row = await db
    .selectFrom('vms')
    .selectAll()
    .where('join_token', '=', joinToken)
    .where('awaited', '=', 1)
    .executeTakeFirst();
  return row ? vmOf(row) : null;
}

/** It will not come. What happened to it stays readable by its id; its name is free. */
export async function removeAwaited(trx: Write, id: string): Promise<void> {
  await trx.updateTable('vms').set({ awaited: 2, name: id }).where('id', '=', id).where('awaited', '=', 1).execute();
  await trx.deleteFrom('vm_labels').where('vm', '=', id).execute();
}

export async function nameIsUsed(db: Db, project: string): Promise<(name: string) => boolean> {
  const rows = await db.selectFrom('vms').select('name').where('project', '=', project).execute();
  const names = new Set(rows.map(({ name }) => name));
  return (name) => names.has(name);
}

/** The machine whose link has that key. */
export async function vmByKey(db: Db, ikKid: string): Promise<EnrolledVm | null> {
  const row = await db.selectFrom('vms').selectAll().where('ik_kid', '=', ikKid).executeTakeFirst();
  const vm = row && vmOf(row);
  return vm && isEnrolled(vm) ? vm : null;
}

export async function findVm(db: Db, id: string): Promise<Vm | null> {
  const row = await db.selectFrom('vms').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? vmOf(row) : null;
}

/**
 * Those in these projects that somebody may mean: several where some have one name. By id first: a machine that calls itself
 * by another's id is still found by its own only.
 */
export async function vmsMeant(db: Db, projects: readonly string[], idOrName: string): Promise<VmNamed[]> {
  const within = db.selectFrom('vms').select(['id', 'project']).where('project', 'in', projects);
  const byId = await within.where('id', '=', idOrName).execute();
  return byId.length > 0 ? byId : within.where('name', '=', idOrName).orderBy('id').execute();
}
export type VmNamed = Readonly<{ id: string; project: string }>;

/** The open, approved operation of each of these machines. */
export async function busyVms(db: Db, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('operations')
    .select(['vm', 'op'])
    .where('ended', '=', 0)
    .where('approved', '=', 1)
    .where('vm', 'in', ids)
    .execute();
  return new Map(rows.map(({ vm, op }) => [vm, op]));
}

export async function updateVm(
  trx: Write,
  id: string,
  change: Partial<Pick<VmTable, 'last_seen' | 'boot' | 'agent_version' | 'ctr' | 'jhead' | 'facts_json'>>,
): Promise<void> {
  await trx.updateTable('vms').set(change).where('id', '=', id).execute();
}

/** Raises a flag and says so each time, also where it is up already. */
export async function flagVm(trx: Write, id: string, code: string, at: number): Promise<void> {
  const { flags_json } = await trx
    .selectFrom('vms')
    .select('flags_json')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  const flags = new Set(JSON.parse(flags_json) as string[]).add(code);
  await trx
    .updateTable('vms')
    .set({ flags_json: JSON.stringify([...flags]) })
    .where('id', '=', id)
    .execute();
  await appendEvent(trx, { at, vm: id, op: null, type: 'vm.flag', data: { code } });
}

/** Holds the identity, wherever it is connected, and says so each time; the first reason stays. */
export async function quarantineVm(trx: Write, id: string, code: string, at: number): Promise<void> {
  await trx
    .updateTable('vms')
    .set({ quarantine_code: code, quarantined_at: at })
    .where('id', '=', id)
    .where('quarantined_at', 'is', null)
    .execute();
  await cutOff(trx, id);
  await flagVm(trx, id, code, at);
}

/**
 * Lets the identity in again, from whichever state the machine is in now: its next hello's counter and journal head are
 * where counting starts anew.
 */
export async function releaseVm(trx: Write, id: string, operator: string, at: number): Promise<void> {
  const released = { quarantine_code: null, quarantined_at: null, flags_json: '[]', ctr: 0, jhead: null };
  await trx.updateTable('vms').set(released).where('id', '=', id).execute();
  await trx.deleteFrom('journal_heads').where('vm', '=', id).execute();
  await appendEvent(trx, { at, vm: id, op: null, type: 'vm.released', data: { operator } });
}

/** All of its labels, from now on. */
export async function setLabels(trx: Write, id: string, labels: Vm['labels'], by: Labelled): Promise<void> {
  await trx
    .updateTable('vms')
    .set({ labels_json: JSON.stringify(labels) })
    .where('id', '=', id)
    .execute();
  await trx.deleteFrom('vm_labels').where('vm', '=', id).execute();
  await indexLabels(trx, id, labels);
  const data = { operator: by.operator };
  await appendEvent(trx, { at: by.at, vm: id, op: null, type: 'vm.labels', data });
}
type Labelled = Readonly<{ operator: string; at: number }>;

/** What machines are chosen by; what is shown is the machine's own. */
async function indexLabels(trx: Write, vm: string, labels: Vm['labels']): Promise<void> {
  const rows = Object.entries(labels).map(([name, value]) => ({ vm, name, value }));
  if (rows.length > 0) await trx.insertInto('vm_labels').values(rows).execute();
}

/** Remembers the journal head of a hello; whether it is an older one than the last. */
export async function rememberJournalHead(trx: Write, vm: Vm, jhead: string, at: number): Promise<boolean> {
  if (jhead === vm.jhead) return false;
  const seen = await trx
    .selectFrom('journal_heads')
    .select('at')
    .where('vm', '=', vm.id)
    .where('jhead', '=', jhead)
    .executeTakeFirst();
  if (seen) return true;
  await trx.insertInto('journal_heads').values({ vm: vm.id, jhead, at }).execute();
  await forgetOldHeads(trx, vm.id);
  return false;
}

/** A disk that is older than all of these still shows in the hello's counter. */
export const JOURNAL_HEADS_KEPT = 256;

async function forgetOldHeads(trx: Write, vm: string): Promise<void> {
  const kept = trx
    .selectFrom('journal_heads')
    .select('jhead')
    .where('vm', '=', vm)
    .orderBy('at', 'desc')
    .limit(JOURNAL_HEADS_KEPT);
  await trx.deleteFrom('journal_heads').where('vm', '=', vm).where('jhead', 'not in', kept).execute();
}

export function vmOf(row: VmTable): Vm {
  return {
    id: row.id,
    agent: row.agent,
    name: row.name,
    project: row.project,
    ik: JSON.parse(row.ik_json) as Vm['ik'],
    ikKid: row.ik_kid,
    ek: JSON.parse(row.ek_json) as Vm['ek'],
    machineSha256: row.machine_sha256,
    enrolledAt: row.awaited === 0 ? row.enrolled_at : null,
    lastSeen: row.last_seen,
    boot: row.boot,
    facts: row.facts_json === null ? null : (JSON.parse(row.facts_json) as Facts),
    agentVersion: row.agent_version,
    ctr: row.ctr,
    jhead: row.jhead,
    flags: JSON.parse(row.flags_json) as string[],
    quarantine:
      row.quarantine_code === null || row.quarantined_at === null
        ? null
        : { code: row.quarantine_code, since: row.quarantined_at },
    labels: JSON.parse(row.labels_json) as Record<string, string>,
    joinToken: row.join_token,
    provision: row.provision_json === null ? null : (JSON.parse(row.provision_json) as Provision),
    removed: row.awaited === 2,
  };
}

function rowOf(vm: Vm): VmTable {
  return {
    id: vm.id,
    agent: vm.agent,
    name: vm.name,
    project: vm.project,
    ik_json: JSON.stringify(vm.ik),
    ik_kid: vm.ikKid,
    ek_json: JSON.stringify(vm.ek),
    machine_sha256: vm.machineSha256,
    enrolled_at: vm.enrolledAt ?? 0,
    last_seen: vm.lastSeen,
    boot: vm.boot,
    facts_json: vm.facts === null ? null : JSON.stringify(vm.facts),
    agent_version: vm.agentVersion,
    ctr: vm.ctr,
    jhead: vm.jhead,
    flags_json: JSON.stringify(vm.flags),
    quarantine_code: vm.quarantine?.code ?? null,
    quarantined_at: vm.quarantine?.since ?? null,
    labels_json: JSON.stringify(vm.labels),
    join_token: vm.joinToken,
    awaited: isEnrolled(vm) ? 0 : vm.removed ? 2 : 1,
    provision_json: vm.provision === null ? null : JSON.stringify(vm.provision),
  };
}
