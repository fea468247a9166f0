// Composition root of `latchkey serve` for one user: gateway, API and the signer's child process over one data folder. Nothing
// is written before the folder is ours, and whatever was opened is closed again when a later step fails.

import { rmSync } from 'node:fs';
import type { Ed25519Jwk } from '../protocol/schema.ts';
import { writePrivateFile } from './config/files.ts';
import { claimFolder, moveIn, openInstallation } from './config/installation.ts';
import { lockData, lockDataWithin } from './config/lock.ts';
import { logLevel, type ServeOptions } from './config/options.ts';
import { pathsIn } from './config/paths.ts';
import { randomKernel } from './config/random-kernel.ts';
import type { ProcessUser } from './config/users.ts';
import { openLog } from './log.ts';
import { SignerChild } from './signer/child.ts';
import { mailerOf } from './signer/mailer.ts';
import { type SignerSettings, signersOf } from './signer-process.ts';
import { openWeb, type Undo } from './web.ts';

/** `ended`: that it ended by itself, which it should not. */
export type Serving = Readonly<{ url: string; data: string; stop(): Promise<void>; ended: Promise<void> }>;
export type SignerArgv = (data: string, settings: SignerSettings) => readonly string[];

/** A process of the same folder that was told to end, or whose parent died, ends within this. */
export const PREDECESSOR_MS_MAX = 20_000;

/** Agents and requests under way are seen off within this; what is not through by then is cut off. */
export const DRAIN_MS_MAX = 15_000;

/** Starts everything; throws the code of the first thing that is wrong. `signerArgv` starts the signer's program. */
export async function serve(options: ServeOptions, signerArgv: SignerArgv): Promise<Serving> {
  return serving(options, async (undo) => {
    // SQLite makes its files with the process's mask.
    process.umask(0o077);
    const paths = pathsIn(options.data);
    const around = { randomBytes: randomKernel(), nowMs: () => Date.now() };
    const log = openLog('serve', logLevel(process.env));
    claimFolder(paths);
    const lock = lockData(paths.lock);
    undo.push(() => lock.release());
    await openInstallation(paths, { ...around, commandKey: () => firstCommandKey(options, null) });
    moveIn(paths);
    const webLock = await lockDataWithin(paths.webLock, PREDECESSOR_MS_MAX);
    undo.push(() => webLock.release());
    const startSigner = async () => {
      const child = new SignerChild({
        argv: signerArgv(options.data, settingsOf(options)),
        logPath: paths.signerLog,
        log,
      });
      undo.push(() => child.stop());
      await child.start();
    };
    const url = await openWeb(options, { around, log, undo, startSigner, mailer: await mailerOf(options.mail) });
    writePrivateFile(paths.address, `${JSON.stringify({ url })}\n`);
    undo.push(() => rmSync(paths.address, { force: true }));
    return { url, ended: new Promise(() => undefined) };
  });
}

/** The key that a first root shall name, where it is not to be made in a file; `user` for a program's, where we are root. */
export async function firstCommandKey(
  { commandKey }: ServeOptions,
  user: ProcessUser | null,
): Promise<Ed25519Jwk | null> {
  const [signer] = await signersOf(commandKey, user);
  return (await signer?.keys())?.[0]?.jwk ?? null;
}

export function settingsOf({ publicUrl, mail, commandKey }: ServeOptions): SignerSettings {
  return { origin: publicUrl, mail, apart: null, commandKey, network: null, alone: false };
}

/** Undoes what was begun, in reverse, at the end and where the work fails half-way. */
export async function serving(
  { data }: ServeOptions,
  work: (undo: Undo) => Promise<Pick<Serving, 'url' | 'ended'>>,
): Promise<Serving> {
  const undo: Undo = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return { ...(await work(undo)), data, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
