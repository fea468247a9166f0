// The page on which a person lets a program in: three files of its own, and a content security policy that lets it run and
// look like these, ask this server, and nothing else.

import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ApiParts } from './parts.ts';

// Now, because later this process may be a user who cannot read the program.
const read = (name: string) => readFileSync(new URL(`./device/${name}`, import.meta.url), 'utf8');
const [html, script, style] = [read('page.html'), read('page.js'), read('page.css')];

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join(';');

export function devicePageRoutes(app: FastifyInstance, { people }: Pick<ApiParts, 'people'>): void {
  const send = (reply: FastifyReply, type: string, text: string) =>
    reply.type(`${type}; charset=utf-8`).header('content-security-policy', POLICY).send(text);
  app.get('/device', async (_request, reply) =>
    send(reply, 'text/html', people.hasSso() ? html.replace('data-sso="no"', 'data-sso="yes"') : html),
  );
  app.get('/device/page.js', async (_request, reply) => send(reply, 'text/javascript', script));
  app.get('/device/page.css', async (_request, reply) => send(reply, 'text/css', style));
}
