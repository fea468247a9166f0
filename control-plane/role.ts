// Composition root of `latchkey gateway` and `latchkey web`: one of several programs over one PostgreSQL, with the signer
// beside them or on another host. It makes no installation and no database; it joins them.

import { Failure } from '../protocol/failure.ts';
import { logLevel, type ServeOptions } from './config/options.ts';
import { isApart } from './config/ownership.ts';
import { pathsIn } from './config/paths.ts';
import { randomKernel } from './config/random-kernel.ts';
import { becomeUser, type Users } from './config/users.ts';
import { openLog } from './log.ts';
import { loadTraces } from './observability/traces.ts';
import { type Serving, serving } from './serve.ts';
import { mailerOf } from './signer/mailer.ts';
import { openWeb, type Role } from './web.ts';

/** As root it becomes the web's user where `serve` has given the folder to it. */
export async function serveRole(
  options: ServeOptions,
  role: Exclude<Role, 'both'>,
  users: Users | null,
): Promise<Serving> {
  if (!options.database) throw new Failure('CONFIG_INVALID', { field: 'database-url', reason: 'missing' });
  // Agents do not connect here, so nobody else can say where they do.
  if (role === 'web' && options.agentUrl === null) {
    throw new Failure('CONFIG_INVALID', { field: 'agent-url', reason: 'missing' });
  }
  return serving(options, async (undo) => {
    process.umask(0o077);
    if (options.traces) await loadTraces();
    const mailer = role === 'web' ? await mailerOf(options.mail) : null;
    if (role === 'web') await import('./people/people.ts');
    if (users && isApart(pathsIn(options.data))) becomeUser(users.web);
    const around = { randomBytes: randomKernel(), nowMs: () => Date.now() };
    const log = openLog(role, logLevel(process.env));
    const url = await openWeb(options, { around, log, undo, startSigner: async () => undefined, mailer }, role);
    return { url, ended: new Promise(() => undefined) };
  });
}
