// Machines: their keys, what their agents said of themselves, and what is odd about them.

import type { Ed25519Jwk } from '../../protocol/schema.ts';
import type { Facts } from '../../protocol/session.ts';
import { appendEvent } from './events.ts';
import { cutOff } from './gateways.ts';
import { handOver } from './handover.ts';
import type { Db, Write } from './store.ts';
import type { VmTable } from './tables.ts';

export type Vm = Readonly<{
  id: string;
  agent: string;
  name: string;
  project: string;
  ik: Ed25519Jwk;
  ikKid: string;
  ek: Ed25519Jwk;
  machineSha256: string;
  enrolledAt: number;
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
  /** The token that it enrolled with. */
  joinToken: string | null;
}>;

export async function insertVm(trx: Write, vm: Vm): Promise<void> {
  await trx.insertInto('vms').values(rowOf(vm)).execute();
  await indexLabels(trx, vm.id, vm.labels);
  const { id, agent, project, ik, ek } = vm;
  await handOver(trx, { t: 'machine', agent, vm: id, project, ik, ek });
  await appendEvent(trx, { at: vm.enrolledAt, vm: vm.id, op: null, type: 'vm.enrolled', data: { name: vm.name } });
}

export async function nameIsUsed(db: Db, project: string): Promise<(name: string) => boolean> {
  const rows = await db.selectFrom('vms').select('name').where('project', '=', project).execute();
  const names = new Set(rows.map(({ name }) => name));
  return (name) => names.has(name);
}

/** The machine whose link has that key. */
export async function vmByKey(db: Db, ikKid: string): Promise<Vm | null> {
  const row = await db.selectFrom('vms').selectAll().where('ik_kid', '=', ikKid).executeTakeFirst();
  return row ? vmOf(row) : null;
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
    ik: JSON.parse(row.ik_json) as Ed25519Jwk,
    ikKid: row.ik_kid,
    ek: JSON.parse(row.ek_json) as Ed25519Jwk,
    machineSha256: row.machine_sha256,
    enrolledAt: row.enrolled_at,
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
    enrolled_at: vm.enrolledAt,
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
  };
}
