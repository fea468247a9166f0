// Projects, and who is a member of which in which role. A project owns machines, operations, join tokens and events; operators
// are the installation's, and see of a project nothing where they are no members.

import type { Role } from '../core/rights.ts';
import type { Db, Write } from './store.ts';

/** By project. */
export type Memberships = ReadonlyMap<string, Role>;
export type Member = Readonly<{ operator: string; project: string; role: Role }>;

export async function membershipsOf(db: Db, operator: string): Promise<Memberships> {
  const rows = await db
    .selectFrom('memberships')
    .select(['project', 'role'])
    .where('operator', '=', operator)
    .orderBy('project')
    .execute();
  return new Map(rows.map(({ project, role }) => [project, role as Role]));
}

export async function putMember(trx: Write, { operator, project, role }: Member, at: number): Promise<void> {
  await trx
    .insertInto('memberships')
    .values({ operator, project, role, added_at: at })
    .onConflict((conflict) => conflict.columns(['operator', 'project']).doUpdateSet({ role }))
    .execute();
}

export async function insertProject(trx: Write, name: string, at: number): Promise<void> {
  await trx.insertInto('projects').values({ name, created_at: at }).execute();
}
