// Lists of machines and of operations: each filter is a condition that the database decides, with an index where there may be
// many, so that a page holds as many as were asked for.

import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { Operation } from '../core/operation.ts';
import { connected } from './gateways.ts';
import { readOperation } from './operations.ts';
import type { Db } from './store.ts';
import type { Tables } from './tables.ts';
import { type Vm, vmOf } from './vms.ts';

/** A label's name, and its value where one is asked for. */
export type Label = readonly [name: string, value: string | null];

export type VmFilter = Readonly<{
  /** The machines of these alone. */
  projects: readonly string[];
  name?: string | undefined;
  state?: 'online' | 'offline' | 'held' | 'busy' | undefined;
  labels?: readonly Label[] | undefined;
  version?: string | undefined;
  seenBefore?: number | undefined;
  seenAfter?: number | undefined;
  text?: string | undefined;
}>;

type Paged<P> = Readonly<{ after?: P | undefined; limit: number }>;

/** In the order of their ids, from after one on. */
export async function listVms(db: Db, { after, limit, ...filter }: VmFilter & Paged<string>): Promise<Vm[]> {
  let query = db.selectFrom('vms').selectAll().orderBy('id').limit(limit);
  if (after !== undefined) query = query.where('id', '>', after);
  const rows = await query.where((eb) => eb.and(vmConditions(db, eb, filter))).execute();
  return rows.map(vmOf);
}

function vmConditions(db: Db, eb: ExpressionBuilder<Tables, 'vms'>, filter: VmFilter): Expression<SqlBool>[] {
  const { projects, name, state, labels, version, seenBefore, seenAfter, text } = filter;
  return [
    eb('project', 'in', projects),
    eb('awaited', '<', 2),
    ...(name === undefined ? [] : [eb('name', '=', name)]),
    ...(state === undefined ? [] : [inState(db, eb, state)]),
    ...hasLabels(db, eb, 'vms.id', labels),
    ...(version === undefined ? [] : [eb('agent_version', '=', version)]),
    ...(seenBefore === undefined ? [] : [eb.or([eb('last_seen', 'is', null), eb('last_seen', '<', seenBefore)])]),
    ...(seenAfter === undefined ? [] : [eb('last_seen', '>=', seenAfter)]),
    ...(text === undefined ? [] : [eb.or([holds('name', text), holds('id', text), holds('agent', text)])]),
  ];
}

function inState(
  db: Db,
  eb: ExpressionBuilder<Tables, 'vms'>,
  state: NonNullable<VmFilter['state']>,
): Expression<SqlBool> {
  switch (state) {
    case 'held':
      return eb('quarantined_at', 'is not', null);
    case 'busy':
      return eb('id', 'in', db.selectFrom('operations').select('vm').where('ended', '=', 0).where('approved', '=', 1));
    case 'online':
      return eb('id', 'in', connected(db));
    case 'offline':
      return eb('id', 'not in', connected(db));
  }
}

export type OperationFilter = Readonly<{
  projects: readonly string[];
  vm?: string | undefined;
  state?: string | undefined;
  labels?: readonly Label[] | undefined;
  operator?: string | undefined;
  createdBefore?: number | undefined;
  createdAfter?: number | undefined;
  text?: string | undefined;
}>;

export type Listed = Readonly<{ seq: number; operation: Operation }>;

/** Newest first, from after the one with that number on. */
export async function listOperations(
  db: Db,
  { after, limit, ...filter }: OperationFilter & Paged<number>,
): Promise<Listed[]> {
  let query = db.selectFrom('operations').select(['seq', 'record_json']).orderBy('seq', 'desc').limit(limit);
  if (after !== undefined) query = query.where('seq', '<', after);
  const rows = await query.where((eb) => eb.and(operationConditions(db, eb, filter))).execute();
  return rows.map(({ seq, ...row }) => ({ seq, operation: readOperation(row) }));
}

function operationConditions(
  db: Db,
  eb: ExpressionBuilder<Tables, 'operations'>,
  { projects, vm, state, labels, operator, createdBefore, createdAfter, text }: OperationFilter,
): Expression<SqlBool>[] {
  const named = (part: string) => db.selectFrom('vms').select('id').where(holds('name', part));
  return [
    eb('project', 'in', projects),
    ...(vm === undefined ? [] : [eb('vm', '=', vm)]),
    ...(state === undefined ? [] : [eb('state', '=', state)]),
    ...hasLabels(db, eb, 'operations.vm', labels),
    ...(operator === undefined ? [] : [eb('operator', '=', operator)]),
    ...(createdBefore === undefined ? [] : [eb('created_at', '<', createdBefore)]),
    ...(createdAfter === undefined ? [] : [eb('created_at', '>=', createdAfter)]),
    ...(text === undefined ? [] : [eb.or([holds('op', text), eb('vm', 'in', named(text))])]),
  ];
}

function hasLabels<T extends 'vms' | 'operations'>(
  db: Db,
  eb: ExpressionBuilder<Tables, T>,
  vm: string,
  labels: readonly Label[] = [],
): Expression<SqlBool>[] {
  return labels.map(([name, value]) => {
    let having = db.selectFrom('vm_labels').select('vm').where('name', '=', name);
    if (value !== null) having = having.where('value', '=', value);
    return eb(sql.ref<string>(vm), 'in', having);
  });
}

/** Whether the column's text has that part, in whichever case; every sign of the part stands for itself. */
function holds(column: 'name' | 'id' | 'agent' | 'op', part: string): Expression<SqlBool> {
  const pattern = `%${part.toLowerCase().replaceAll(/[\\%_]/g, '\\$&')}%`;
  return sql<SqlBool>`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
}
