// The routes of invitations: who may come, and coming. An invitation makes somebody who signs in, and never a factor: what
// approves resets is registered with the signer, by whoever the signer believes.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import { newId } from '../../protocol/schema.ts';
import { invitationLetter } from '../core/letter.ts';
import { may } from '../core/rights.ts';
import { AUTH_PATH } from '../people/sign-in.ts';
import { appendEvent } from '../store/events.ts';
import { operatorExists } from '../store/operators.ts';
import {
  endInvitation,
  findInvitation,
  type Invitation,
  insertInvitation,
  insertPerson,
  isPerson,
  listInvitations,
} from '../store/people.ts';
import type { Db } from '../store/store.ts';
import type { ApiParts } from './parts.ts';
import { callerOf, operatorOf, projectOf, projectsOf } from './requests.ts';
import {
  acceptedView,
  acceptRequest,
  invitationCreated,
  invitationList,
  invitationParams,
  invitationRequest,
  invitationView,
} from './schemas-sign-in.ts';

const TTL_MS = 72 * 3_600_000;
const LISTED_MAX = 500;

export function invitationRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, installation, randomBytes, nowMs, publicUrl } = parts;

  app.post(
    '/v1/invitations',
    { schema: { body: invitationRequest, response: { 201: invitationCreated } } },
    async (request, reply) => {
      const { email, operator, role } = request.body;
      const [created_by, project, at] = [operatorOf(request), projectOf(request), nowMs()];
      const secret = toBase64url(randomBytes(32));
      const [id, sha256] = [newId('inv', randomBytes), await sha256Text(secret)];
      const invitation = await store.write(async (trx) => {
        const of_existing = await demandInvitable(trx, request, { email, operator }, installation.project);
        const who = { id, sha256, email: email.toLowerCase(), operator, project, role, of_existing };
        const times = { created_at: at, expires_at: at + TTL_MS, accepted_at: null, revoked_at: null };
        const made: Invitation = { ...who, created_by, ...times };
        await insertInvitation(trx, made);
        const data = { invitation: id, invited: operator, role, operator: created_by };
        await appendEvent(trx, { at, vm: null, op: null, type: 'invitation.created', data, project });
        return made;
      });
      // After the `#`, which browsers keep to themselves.
      const link = `${publicUrl()}/invitation#${secret}`;
      const mailed = await mail(parts, invitation, link);
      return reply.status(201).send({ ...viewInvitation(invitation, at), link, mailed });
    },
  );

  app.get('/v1/invitations', { schema: { response: { 200: invitationList } } }, async (request) => {
    const found = await listInvitations(store.db, projectsOf(request), LISTED_MAX);
    return { items: found.map((invitation) => viewInvitation(invitation, nowMs())) };
  });

  app.delete(
    '/v1/invitations/:id',
    { schema: { params: invitationParams, response: { 200: invitationView } } },
    async (request) => {
      const [{ id }, operator, at] = [request.params, operatorOf(request), nowMs()];
      return store.write(async (trx) => {
        const found = await findInvitation(trx, 'id', id);
        if (!found) throw new Failure('NOT_FOUND', { what: 'invitation' });
        const view = viewInvitation(found, at);
        if (view.state === 'accepted') throw new Failure('STATE_CONFLICT', { state: view.state });
        if (view.state === 'revoked') return view;
        await endInvitation(trx, id, 'revoked_at', at);
        const { project } = found;
        const data = { invitation: id, operator };
        await appendEvent(trx, { at, vm: null, op: null, type: 'invitation.revoked', data, project });
        return viewInvitation({ ...found, revoked_at: at }, at);
      });
    },
  );

  app.post(
    `${AUTH_PATH}/invitations`,
    { schema: { body: acceptRequest, response: { 201: acceptedView } } },
    async (request, reply) => reply.status(201).send(await accept(parts, request.body)),
  );
}

/** Once, and now: the link is kept nowhere, so that nothing here could send it later. */
async function mail({ mailer, log }: ApiParts, invitation: Invitation, link: string): Promise<boolean> {
  if (!mailer) return false;
  const { email, operator, role, project, created_by: by, expires_at: expiresAt } = invitation;
  try {
    await mailer.send({ to: email, ...invitationLetter({ operator, role, project, by, link, expiresAt }) });
    return true;
  } catch (error) {
    log.warn({ code: codeOf(error) ?? 'INTERNAL', invitation: invitation.id }, 'an invitation was not mailed');
    return false;
  }
}

type Accepting = Readonly<{ invitation: string; name: string; password?: string | undefined }>;

async function accept({ store, people, randomBytes, nowMs }: ApiParts, asked: Accepting) {
  const { name, password } = asked;
  const at = nowMs();
  const sha256 = await sha256Text(asked.invitation);
  // Looked at before: hashing a password is work that nobody gets for nothing.
  await demandLiving(store.db, sha256, at);
  const passwordHash = password === undefined ? null : await people.hashPassword(password);
  return store.write(async (trx) => {
    const invitation = await demandLiving(trx, sha256, at);
    const { id, operator, email, project } = invitation;
    await insertPerson(trx, { invitation, name, passwordHash, id: toBase64url(randomBytes(16)), at });
    await endInvitation(trx, id, 'accepted_at', at);
    const data = { invitation: id, operator };
    await appendEvent(trx, { at, vm: null, op: null, type: 'invitation.accepted', data, project });
    return { operator, email };
  });
}

async function demandLiving(db: Db, sha256: string, at: number): Promise<Invitation> {
  const found = await findInvitation(db, 'sha256', sha256);
  const refused = new Failure('AUTHZ_INVALID', { reason: 'invitation' });
  if (!found || viewInvitation(found, at).state !== 'live') throw refused;
  // Somebody else may have made that operator since, who is not the one that was invited.
  if (found.of_existing === 0 && (await operatorExists(db, found.operator))) throw refused;
  if (await isPerson(db, found)) throw refused;
  return found;
}

type Invited = Readonly<{ email: string; operator: string }>;

/** Whoever signs in as an operator who is there already has all that they have: an admin of the installation says who. */
async function demandInvitable(db: Db, request: FastifyRequest, invited: Invited, own: string): Promise<0 | 1> {
  if (await isPerson(db, invited)) throw new Failure('ALREADY_EXISTS', { what: 'person' });
  if (!(await operatorExists(db, invited.operator))) return 0;
  const { memberships, scopes } = callerOf(request);
  const role = memberships.get(own);
  if (role === undefined || !may(role, 'administer') || !scopes.includes('administer')) {
    throw new Failure('ALREADY_EXISTS', { what: 'operator' });
  }
  return 1;
}

function viewInvitation({ sha256: _, of_existing: __, ...said }: Invitation, now: number) {
  const { created_at, expires_at, accepted_at, revoked_at, ...invitation } = said;
  const iso = (ms: number) => new Date(ms).toISOString();
  const open = expires_at <= now ? ('expired' as const) : ('live' as const);
  const state = accepted_at !== null ? ('accepted' as const) : revoked_at !== null ? ('revoked' as const) : open;
  return { ...invitation, created_at: iso(created_at), expires_at: iso(expires_at), state };
}
