// Composition root of `latchkey serve` as root: this process keeps the folder, the root key and the two others, and does
// nothing else; the signer and the web are users of their own. It must never read what a network sent.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import type { Logger } from 'pino';
import { Failure } from '../protocol/failure.ts';
import { PUBLIC_MODE, writePrivateFile } from './config/files.ts';
import { claimFolder, moveIn, openInstallation } from './config/installation.ts';
import { lockData } from './config/lock.ts';
import { logLevel, type ServeOptions } from './config/options.ts';
import { DATA_MODE, demandOwn, isApart, layOut, standsInTheWay } from './config/ownership.ts';
import { pathsIn } from './config/paths.ts';
import { randomKernel } from './config/random-kernel.ts';
import type { Users } from './config/users.ts';
import { openLog } from './log.ts';
import { DRAIN_MS_MAX, firstCommandKey, type Serving, type SignerArgv, serving, settingsOf } from './serve.ts';
import { SignerChild, stopChild } from './signer/child.ts';
import { firstWord } from './signer/first-word.ts';
import type { WebSettings } from './web-process.ts';

export type Programs = Readonly<{ signerArgv: SignerArgv; webArgv: readonly string[] }>;

/**
 * Why they cannot be apart, or `null`. Throws `SIGNER_NOT_APART` instead where somebody asked for it, or where they were: nothing
 * that was closed is opened again in silence.
 */
export function whyNotApart({ data }: ServeOptions, users: Users): Readonly<Record<string, string>> | null {
  const paths = pathsIn(data);
  const why = standsInTheWay(paths, users);
  if (why && (users.asked || isApart(paths))) throw new Failure('SIGNER_NOT_APART', why);
  return why;
}

export async function serveApart(options: ServeOptions, users: Users, programs: Programs): Promise<Serving> {
  return serving(options, async (undo) => {
    process.umask(0o077);
    const paths = pathsIn(options.data);
    const log = openLog('root', logLevel(process.env));
    demandOwn(paths, users);
    claimFolder(paths, DATA_MODE);
    const lock = lockData(paths.lock);
    undo.push(() => lock.release());
    await openInstallation(paths, {
      randomBytes: randomKernel(),
      nowMs: () => Date.now(),
      commandKey: () => firstCommandKey(options, users.signer),
    });
    moveIn(paths);
    layOut(paths, users);
    const settings = { ...settingsOf(options), apart: users.signer };
    const child = new SignerChild({ argv: programs.signerArgv(options.data, settings), logPath: paths.signerLog, log });
    undo.push(() => child.stop());
    await child.start();
    const { web, url, ended } = await startWeb(programs.webArgv, { options, user: users.web }, log);
    undo.push(() => stopChild(web, DRAIN_MS_MAX));
    writePrivateFile(paths.address, `${JSON.stringify({ url })}\n`, PUBLIC_MODE);
    undo.push(() => rmSync(paths.address, { force: true }));
    log.info({ web: users.web, signer: users.signer }, 'gateway and API, and the signer, are users of their own');
    return { url, ended };
  });
}

type Web = Readonly<{ web: ChildProcess; url: string; ended: Promise<void> }>;

/** Its settings hold the TLS key: they go over its standard input, which stays open as its lifeline. */
async function startWeb(argv: readonly string[], settings: WebSettings, log: Logger): Promise<Web> {
  const level = process.env['LATCHKEY_LOG_LEVEL'];
  const web = spawn(process.execPath, [...process.execArgv, '--disable-sigusr1', ...argv], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: level === undefined ? {} : { LATCHKEY_LOG_LEVEL: level },
  });
  const { stdin } = web;
  // It may end before it has read them; its exit says so.
  stdin?.on('error', () => undefined);
  stdin?.write(`${JSON.stringify(settings)}\n`);
  const { url } = await firstWord(web, 'SERVER_UNREACHABLE');
  if (url === undefined) throw new Failure('SERVER_UNREACHABLE', { reason: 'word' });
  const ended = new Promise<void>((resolve) => {
    web.once('exit', (status, signal) => {
      if (status !== 0) {
        log.error({ status, signal }, 'the process of gateway and API ended');
        process.exitCode = 1;
      }
      resolve();
    });
  });
  return { web, url, ended };
}
