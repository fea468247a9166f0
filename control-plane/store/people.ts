// Invitations of people, and the people that come of them. better-auth reads and writes its own tables, which are named
// `auth_…`; here is what has to happen together with something else of ours.

import type { Role } from '../core/rights.ts';
import { insertOperatorAlone, operatorExists } from './operators.ts';
import { putMember } from './projects.ts';
import type { Db, Store, Write } from './store.ts';

export type Invitation = Readonly<{
  id: string;
  sha256: string;
  email: string;
  operator: string;
  project: string;
  role: Role;
  /** Whether the operator was there already, and whoever invited was one to say so. */
  of_existing: number;
  created_by: string;
  created_at: number;
  expires_at: number;
  accepted_at: number | null;
  revoked_at: number | null;
}>;

export async function insertInvitation(trx: Write, invitation: Invitation): Promise<void> {
  await trx.insertInto('invitations').values(invitation).execute();
}

export async function findInvitation(db: Db, by: 'id' | 'sha256', value: string): Promise<Invitation | null> {
  const row = await db.selectFrom('invitations').selectAll().where(by, '=', value).executeTakeFirst();
  return row ? { ...row, role: row.role as Role } : null;
}

export async function listInvitations(db: Db, projects: readonly string[], limit: number): Promise<Invitation[]> {
  const rows = await db
    .selectFrom('invitations')
    .selectAll()
    .where('project', 'in', projects)
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ ...row, role: row.role as Role }));
}

export async function endInvitation(
  trx: Write,
  id: string,
  how: 'accepted_at' | 'revoked_at',
  at: number,
): Promise<void> {
  await trx
    .updateTable('invitations')
    .set({ [how]: at })
    .where('id', '=', id)
    .execute();
}

/** Whether that operator, or that address, is a person's already. */
export async function isPerson(db: Db, { operator, email }: Pick<Invitation, 'operator' | 'email'>): Promise<boolean> {
  const row = await db
    .selectFrom('auth_users')
    .select('id')
    .where((eb) => eb.or([eb('operator', '=', operator), eb('email', '=', email.toLowerCase())]))
    .executeTakeFirst();
  return row !== undefined;
}

export type NewPerson = Readonly<{
  invitation: Invitation;
  name: string;
  /** As better-auth hashes it; `null` for one who signs in at the provider of single sign-on. */
  passwordHash: string | null;
  id: string;
  at: number;
}>;

/** The operator where there is none yet, the membership, and who signs in as them. */
export async function insertPerson(trx: Write, { invitation, name, passwordHash, id, at }: NewPerson): Promise<void> {
  const { operator, project, role, email } = invitation;
  if (!(await operatorExists(trx, operator))) await insertOperatorAlone(trx, operator, at);
  await putMember(trx, { operator, project, role }, at);
  const now = new Date(at).toISOString();
  const times = { createdAt: now, updatedAt: now };
  // Whoever invited has said that the address is theirs.
  const person = { id, name, email: email.toLowerCase(), emailVerified: 1, image: null, operator, ...times };
  await trx.insertInto('auth_users').values(person).execute();
  if (passwordHash === null) return;
  await trx
    .insertInto('auth_accounts')
    .values({ id: `acc_${id}`, accountId: id, providerId: 'credential', userId: id, password: passwordHash, ...times })
    .execute();
}

/** What cookies are signed with: the same for all webs of a database, and drawn by the first of them. */
export async function cookieSecret(store: Store, draw: () => string): Promise<string> {
  return store.write(async (trx) => {
    const fresh = { name: 'cookie_secret', value: draw() };
    await trx
      .insertInto('auth_settings')
      .values(fresh)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const row = trx.selectFrom('auth_settings').select('value').where('name', '=', fresh.name);
    return (await row.executeTakeFirstOrThrow()).value;
  });
}
