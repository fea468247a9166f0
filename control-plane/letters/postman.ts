// Sends the letters to owners of machines that were reset. One that the mail server does not take is tried again for a day, and
// is then given up, which is logged.

import type { Logger } from 'pino';
import { codeOf } from '../../protocol/failure.ts';
import { letterOf } from '../core/letter.ts';
import type { Mailer } from '../signer/mailer.ts';
import { findOperation } from '../store/operations.ts';
import { anyLetterDue, dropLetter, postponeLetter, type QueuedLetter, takeLetters } from '../store/owners.ts';
import type { Store } from '../store/store.ts';
import { findVm } from '../store/vms.ts';

const INTERVAL_MS = 5_000;
/** Longer than it takes to send all that were taken. */
const LEASE_MS = 300_000;
const LETTERS_MAX = 20;
const ATTEMPTS_MAX = 12;
const FIRST_DELAY_MS = 30_000;
const DELAY_MS_MAX = 14_400_000;

type PostmanParts = Readonly<{ store: Store; mailer: Mailer; origin: () => string; log: Logger }>;

/** Looks now and then, until the returned function is called. */
export function startPostman(parts: PostmanParts): () => Promise<void> {
  let running: Promise<void> | undefined;
  const look = () => {
    running ??= sendLetters(parts)
      .catch((error: unknown) => parts.log.warn({ code: codeOf(error) ?? 'INTERNAL' }, 'letters are held up'))
      .finally(() => {
        running = undefined;
      });
  };
  const timer = setInterval(look, INTERVAL_MS);
  look();
  return async () => {
    clearInterval(timer);
    await running;
  };
}

export async function sendLetters(parts: PostmanParts): Promise<void> {
  if (!(await anyLetterDue(parts.store.db))) return;
  const letters = await parts.store.write((trx) => takeLetters(trx, LEASE_MS, LETTERS_MAX));
  for (const letter of letters) await send(parts, letter);
}

async function send({ store, mailer, origin, log }: PostmanParts, { op, recipient, attempts }: QueuedLetter) {
  const operation = await findOperation(store.db, op);
  const vm = operation && (await findVm(store.db, operation.vm));
  if (!operation || !vm) return store.write((trx) => dropLetter(trx, op));
  try {
    await mailer.send({ to: recipient, ...letterOf({ operation, vmName: vm.name, origin: origin() }) });
    log.info({ op }, 'the owner was told of a reset');
    return store.write((trx) => dropLetter(trx, op));
  } catch (error) {
    const code = codeOf(error) ?? 'INTERNAL';
    if (attempts < ATTEMPTS_MAX) {
      log.warn({ op, code, attempts }, 'the owner is not told of a reset yet');
      const delayMs = Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** attempts);
      return store.write((trx) => postponeLetter(trx, op, delayMs));
    }
    log.error({ op, code, attempts }, 'the owner was not told of a reset');
    return store.write((trx) => dropLetter(trx, op));
  }
}
