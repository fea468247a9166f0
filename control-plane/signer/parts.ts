// What the signer is made of. The composition root fills this in, and a test with its own clock, mailer and place.

import type { Logger } from 'pino';
import type { CommandAuthority } from './command-authority.ts';
import type { SignerLedger } from './ledger.ts';
import type { Mailer } from './mailer.ts';

export type SignerParts = Readonly<{
  ledger: SignerLedger;
  authority: Pick<CommandAuthority, 'current'>;
  randomBytes: (count: number) => Uint8Array;
  nowS: () => number;
  /** `null`: no mail is set up. */
  mailer: Mailer | null;
  /** Where the console is, and so where passkeys live; `null` while that is not known. */
  origin: () => string | null;
  log: Logger;
}>;
