// `latchkey doctor`: everything that the control plane on this host needs, looked at one by one and changed nowhere. Whatever
// is wrong is said by its code.

import { statfsSync, statSync } from 'node:fs';
import { type Code, codes } from '../../../protocol/codes.ts';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import type { DatabaseFlags } from '../../config/database.ts';
import { readInstallation } from '../../config/installation.ts';
import { type MailFlags, readMailOptions } from '../../config/mail.ts';
import { type Paths, pathsIn } from '../../config/paths.ts';
import { signerClient } from '../../signer/client.ts';
import { openMailer } from '../../signer/mailer.ts';
import { demandUpToDate, openEngine } from '../../store/schema.ts';
import { dataFolder } from '../connection.ts';
import { EXIT } from '../exit-codes.ts';
import { table, writeJson, writeLine } from '../view/text.ts';
import { databasePlace } from './migrate.ts';

export type DoctorOptions = DatabaseFlags & MailFlags & Readonly<{ data?: string; json?: boolean }>;

type Finding = Readonly<{ check: string; result: 'ok' | 'warning' | 'failed'; code: Code | null; what: string }>;

const DAY_MS = 86_400_000;
const ROOT_DAYS_MIN = 30;
const SPACE_BYTES_MIN = 200_000_000;
/** Commands live two minutes, and agents take what lies this far ahead of their time. */
const SKEW_MS_MAX = 10_000;

/** Exit code 1 where anything failed. */
export async function examine(options: DoctorOptions): Promise<number> {
  const paths = pathsIn(options.data ?? dataFolder());
  const findings: Finding[] = [];
  for (const look of [lookAtFolder, lookAtRoot, lookAtSpace, lookAtDatabase, lookAtSigner, lookAtMail]) {
    findings.push(...(await look(paths, options)));
  }
  if (options.json) for (const finding of findings) writeJson(finding);
  else {
    const rows = findings.map(({ check, result, code, what }) => [check, result, code ?? '', what]);
    writeLine(table([['CHECK', 'RESULT', 'CODE', ''], ...rows]));
  }
  return findings.some(({ result }) => result === 'failed') ? EXIT.failed : EXIT.done;
}

type Look = (paths: Paths, options: DoctorOptions) => Promise<readonly Finding[]>;

const lookAtFolder: Look = (paths) =>
  looked('data folder', async () => {
    const { iss } = await readInstallation(paths, Date.now());
    // Users of its own pass through it, and nobody else's eyes are on what it holds.
    if ((statSync(paths.data).mode & 0o066) !== 0) {
      throw new Failure('CONFIG_INVALID', { field: 'data', reason: 'others_may_read_it' });
    }
    return `${paths.data}, ${iss}`;
  });

const lookAtRoot: Look = (paths) =>
  looked('root', async () => {
    const { root } = await (await readInstallation(paths, Date.now())).chain.newest();
    const ends = Math.min(root.expires, ...Object.values(root.keys).map(({ expires }) => expires)) * 1_000;
    const days = Math.floor((ends - Date.now()) / DAY_MS);
    if (days < 0) throw new Failure('ROOT_EXPIRED', { version: root.version, expired: new Date(ends).toISOString() });
    const what = `version ${root.version}, in force for ${days} days`;
    return days < ROOT_DAYS_MIN ? { warning: 'ROOT_EXPIRES_SOON', what } : what;
  });

const lookAtSpace: Look = (paths) =>
  looked('disk space', async () => {
    const free = freeBytes(paths.data);
    const what = `${Math.floor(free / 1_000_000)} MB free`;
    return free < SPACE_BYTES_MIN ? { warning: 'SPACE_LOW', what } : what;
  });

function freeBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch (cause) {
    throw new Failure('PATH_UNWRITABLE', { path, reason: (cause as NodeJS.ErrnoException).code ?? 'error' }, cause);
  }
}

const lookAtDatabase: Look = (_, options) =>
  looked('database', async () => {
    const engine = await openEngine(databasePlace(options));
    try {
      await demandUpToDate(engine);
      const skew = Math.abs((await engine.clockMs()) - Date.now());
      if (skew > SKEW_MS_MAX) throw new Failure('CLOCK_WRONG', { reason: 'database', skew_ms: skew });
      await engine.check();
      return `version ${await engine.version()}, ${engine.isShared ? 'PostgreSQL' : 'SQLite'}`;
    } finally {
      await engine.close();
    }
  });

const lookAtSigner: Look = (paths) =>
  looked('signer', async () => {
    await signerClient(paths.signerSocket)('alarms', { after: Number.MAX_SAFE_INTEGER });
    return 'answers';
  });

const lookAtMail: Look = (_, options) =>
  looked('mail', async () => {
    const mail = readMailOptions(options, process.env);
    if (!mail) return 'not configured: no codes by mail';
    await (await openMailer(mail)).verify();
    return `${mail.host}:${mail.port} lets us in`;
  });

async function looked(
  check: string,
  look: () => Promise<string | Readonly<{ warning: Code; what: string }>>,
): Promise<readonly Finding[]> {
  try {
    const said = await look();
    if (typeof said === 'string') return [{ check, result: 'ok', code: null, what: said }];
    return [{ check, result: 'warning', code: said.warning, what: `${said.what}: ${codes[said.warning].hint}` }];
  } catch (error) {
    const code = codeOf(error);
    if (!code) throw error;
    const details = Object.entries((error as Failure).details).map(([name, value]) => `${name} ${value}`);
    return [{ check, result: 'failed', code, what: [codes[code].sentence, ...details].join(' · ') }];
  }
}
