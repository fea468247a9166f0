// Entity tags: a client that has an answer already is told that it still holds, and one that changes a thing may say which
// state of it is meant. A tag names what is known of a thing, so members that only tell how time passes do not count; tags are
// weak for that reason, and `If-Match` compares them as `If-None-Match` does.

import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Failure } from '../../protocol/failure.ts';

const PASSING: ReadonlySet<string> = new Set(['state_ms', 'last_seen']);

/** Every answer to a GET that is made of members has a tag; where the client has it, the answer is left out. */
export function tagAnswers(app: FastifyInstance): void {
  app.addHook('preSerialization', async (request, reply, answer) => {
    if (request.method === 'GET' && reply.statusCode === 200) reply.header('etag', tagOf(answer));
    return answer;
  });
  app.addHook('onSend', async (request, reply, payload) => {
    const tag = reply.getHeader('etag');
    if (typeof tag !== 'string' || !names(request.headers['if-none-match'], tag)) return payload;
    return leaveOut(reply);
  });
}

function leaveOut(reply: FastifyReply): null {
  reply.code(304).removeHeader('content-type').removeHeader('content-length');
  return null;
}

/** Throws `PRECONDITION_FAILED` where the client means another state than the one that is there. */
export function demandMatch({ headers }: FastifyRequest, shown: object): void {
  const wanted = headers['if-match'];
  if (wanted !== undefined && !names(wanted, tagOf(shown))) throw new Failure('PRECONDITION_FAILED');
}

function tagOf(answer: unknown): string {
  const text = JSON.stringify(answer, (name, value: unknown) => (PASSING.has(name) ? undefined : value));
  return `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
}

/** `*`, or a list of tags (RFC 9110, sections 13.1.1 and 13.1.2). */
function names(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const opaque = (text: string) => text.trim().replace(/^W\//, '');
  return header.trim() === '*' || header.split(',').some((one) => opaque(one) === opaque(tag));
}
