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

export async function projectExists(db: Db, name: string): Promise<boolean> {
  return (await db.selectFrom('projects').select('name').where('name', '=', name).executeTakeFirst()) !== undefined;
}

export async function membersOf(db: Db, project: string): Promise<Member[]> {
  const rows = await db
    .selectFrom('memberships')
    .select(['operator', 'project', 'role'])
    .where('project', '=', project)
    .orderBy('operator')
    .execute();
  return rows.map(({ role, ...row }) => ({ ...row, role: role as Role }));
}

export async function removeMember(trx: Write, { operator, project }: Omit<Member, 'role'>): Promise<void> {
  await trx.deleteFrom('memberships').where('operator', '=', operator).where('project', '=', project).execute();
}
