// The process of gateway and API where they are a user of their own. It is started as root and stops being root before it opens
// anything; what it needs of root's files, the private key of its certificate, comes with its settings.

import { createInterface } from 'node:readline';
import { Failure } from '../protocol/failure.ts';
import { lockDataWithin } from './config/lock.ts';
import { logLevel, type ServeOptions } from './config/options.ts';
import { pathsIn } from './config/paths.ts';
import { randomKernel } from './config/random-kernel.ts';
import { becomeUser, type ProcessUser } from './config/users.ts';
import { openLog } from './log.ts';
import { loadTraces } from './observability/traces.ts';
import { PREDECESSOR_MS_MAX, serving } from './serve.ts';
import { mailerOf } from './signer/mailer.ts';
import { openWeb } from './web.ts';

export type WebSettings = Readonly<{ options: ServeOptions; user: ProcessUser }>;

/** Runs until standard input ends. Says one line on standard output: where it listens, or why it cannot. */
export async function runWeb(): Promise<void> {
  const say = (word: object) => process.stdout.write(`${JSON.stringify(word)}\n`);
  process.umask(0o077);
  const lines = createInterface({ input: process.stdin });
  const gone = new Promise<void>((resolve) => {
    lines.once('close', () => resolve());
    process.once('SIGTERM', () => resolve());
    // A terminal's Ctrl-C reaches the whole group; the parent decides when we end.
    process.on('SIGINT', () => undefined);
  });
  const text = await new Promise<string>((resolve) => lines.once('line', resolve));
  const { options, user } = JSON.parse(text) as WebSettings;
  try {
    // Whatever is read of this program later may be out of that user's reach.
    if (options.tlsSelfSigned) await import('./config/certificates.ts');
    if (options.traces) await loadTraces();
    const mailer = await mailerOf(options.mail);
    await import('./people/people.ts');
    becomeUser(user);
    const paths = pathsIn(options.data);
    const log = openLog('serve', logLevel(process.env));
    const around = { randomBytes: randomKernel(), nowMs: () => Date.now() };
    const web = await serving(options, async (undo) => {
      const lock = await lockDataWithin(paths.webLock, PREDECESSOR_MS_MAX);
      undo.push(() => lock.release());
      const url = await openWeb(options, { around, log, undo, startSigner: async () => undefined, mailer });
      return { url, ended: gone };
    });
    say({ event: 'listening', url: web.url });
    await web.ended;
    await web.stop();
    lines.close();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say({ event: 'failed', code: error.code, details: error.details });
    process.exitCode = 1;
    lines.close();
  }
}
