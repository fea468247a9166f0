// Composition root of the signer: a process of its own that holds the command key and the factors, reachable only through
// its two sockets. It opens no network but to the mail server, reads nothing but its folder, the public root and what its
// settings name, and ends with its parent.

import { Failure } from '../protocol/failure.ts';
import { parseJson, readIfThere } from './config/files.ts';
import { lockDataWithin } from './config/lock.ts';
import type { MailOptions } from './config/mail.ts';
import { type CommandKeySource, logLevel } from './config/options.ts';
import { isLent } from './config/ownership.ts';
import { pathsIn } from './config/paths.ts';
import { randomKernel } from './config/random-kernel.ts';
import { TrustChain } from './config/trust-chain.ts';
import { becomeUser, type ProcessUser } from './config/users.ts';
import { openLog } from './log.ts';
import { credentialSigner, folderSigner } from './signer/adapters/signer-file.ts';
import { programSigner } from './signer/adapters/signer-program.ts';
import { CommandAuthority } from './signer/command-authority.ts';
import { SignerLedger } from './signer/ledger.ts';
import { openMailer } from './signer/mailer.ts';
import { loadPasskeys } from './signer/passkeys.ts';
import type { SignerPlace } from './signer/place.ts';
import type { Signer } from './signer/ports/signer.ts';
import { serveSigner } from './signer/server.ts';

/** A signer whose parent was killed ends within this, and takes its sockets with it. */
const PREDECESSOR_MS_MAX = 10_000;

/** What the control plane hands on; no secret is among it. */
export type SignerSettings = Readonly<{
  /** Where the console is; `null`: as `address` in the data folder says. */
  origin: string | null;
  mail: MailOptions | null;
  /** Who to be, where the signer is a user of its own; it is started as root then. */
  apart: ProcessUser | null;
  commandKey: CommandKeySource;
  /** Where it is asked from other hosts; it is a program of its own then, and ends when it is told to. */
  network: Exclude<SignerPlace, string> | null;
  alone: boolean;
}>;

/**
 * Runs until standard input ends, or until it is told to end where it runs `alone`. Says one line on standard output: that it
 * listens, or why it cannot.
 */
export async function runSigner(data: string, settings: Partial<SignerSettings> = {}): Promise<void> {
  const say = (word: object) => process.stdout.write(`${JSON.stringify(word)}\n`);
  process.umask(0o077);
  const { origin = null, mail = null, apart = null, network = null, alone = false } = settings;
  const { commandKey = { program: null, credential: null } } = settings;
  try {
    const paths = pathsIn(data);
    // Root's file of the mail's password is read before; and what of this program may be out of that user's reach is loaded.
    const mailer = mail ? await openMailer(mail) : null;
    const signers = [...(await signersOf(commandKey)), folderSigner(paths.signerFolder)];
    if (apart) {
      await loadPasskeys();
      becomeUser(apart);
    }
    const log = openLog('signer', logLevel(process.env));
    // An earlier one that still ends would remove the sockets of this one.
    const lock = await lockDataWithin(paths.signerLock, PREDECESSOR_MS_MAX);
    const authority = await CommandAuthority.open(await TrustChain.open(paths), signers);
    const ledger = SignerLedger.open(paths.signerDatabase);
    const parts = {
      ledger,
      authority,
      randomBytes: randomKernel(),
      nowS: () => Math.floor(Date.now() / 1000),
      mailer,
      origin: () => origin ?? addressIn(paths.address),
      log,
    };
    const sockets = { signer: paths.signerSocket, admin: paths.adminSocket, forGroup: isLent(paths), network };
    const server = await serveSigner(parts, sockets, log);
    say({ event: 'listening' });
    await (alone ? told() : parentGone());
    await server.close();
    ledger.close();
    lock.release();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say({ event: 'failed', code: error.code, details: error.details });
    process.exitCode = 1;
  }
}

/** What holds the command key besides the signer's own folder; `user` where this process is still root. */
export async function signersOf(
  { program, credential }: CommandKeySource,
  user: ProcessUser | null = null,
): Promise<Signer[]> {
  return [
    ...(program === null ? [] : [programSigner(program, user)]),
    ...(credential === null ? [] : [await credentialSigner(credential)]),
  ];
}

/** The address that the control plane wrote when it began to listen. */
function addressIn(path: string): string | null {
  const text = readIfThere(path);
  if (text === null) return null;
  const { url } = parseJson(text, 'address') as { url?: unknown };
  return typeof url === 'string' ? url : null;
}

function told(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve()).once('SIGINT', () => resolve());
  });
}

function parentGone(): Promise<void> {
  // A terminal's Ctrl-C reaches the whole group; the parent decides when we end.
  process.on('SIGINT', () => undefined);
  return new Promise((resolve) => {
    process.stdin
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve());
    process.stdin.resume();
    process.once('SIGTERM', () => resolve());
  });
}
