// The rule that account and VNC passwords follow, and the generator. The executor applies the rule to what it unsealed;
// a console or CLI applies it first so that the operator learns at once.

import { Failure } from './failure.ts';
import { PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, VNCAUTH_BYTES } from './limits.ts';
import { Secret } from './secret.ts';

/** Why a password breaks the rule, in the order in which the reasons are looked for. */
export type PasswordFault = 'length' | 'character' | 'no_letter' | 'no_digit' | 'account_name' | 'common';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const ALPHABET = LETTERS + DIGITS;

/** A sound source fails a draw one time in four: this many in a row do not happen (2^-200), a broken source does. */
const DRAWS_MAX = 100;

/** Shortest account name that a password must not contain: shorter ones occur by chance. */
const ACCOUNT_NAME_MIN = 3;

/** What the rule needs to know beside the password. */
export type PasswordContext = Readonly<{ accountName?: string; common?: ReadonlySet<string> }>;

/**
 * The rule: 8 to 30 bytes, each 0x21 to 0x7E, at least one letter and one digit, not containing the account's name in
 * any case, not on the list of common passwords. Returns the first fault, or `undefined`.
 */
export function passwordFault(password: Secret, context: PasswordContext = {}): PasswordFault | undefined {
  const bytes = password.revealBytes();
  if (bytes.length < PASSWORD_BYTES_MIN || bytes.length > PASSWORD_BYTES_MAX) return 'length';
  if (bytes.some((byte) => byte < 0x21 || byte > 0x7e)) return 'character';
  const text = password.reveal();
  const classes = classFault(text);
  if (classes) return classes;
  const lower = text.toLowerCase();
  const name = context.accountName?.toLowerCase() ?? '';
  if (name.length >= ACCOUNT_NAME_MIN && lower.includes(name)) return 'account_name';
  if (context.common?.has(lower)) return 'common';
  return undefined;
}

/** VncAuth reads the first 8 bytes alone, so these must satisfy the letter-and-digit part by themselves. */
export function vncAuthFault(password: Secret): PasswordFault | undefined {
  const general = passwordFault(password);
  if (general) return general;
  return classFault(password.reveal().slice(0, VNCAUTH_BYTES));
}

/** Throws `PASSWORD_POLICY` with the reason where the rule is broken. */
export function assertPassword(fault: PasswordFault | undefined, slot: 'account' | 'vnc'): void {
  if (fault) throw new Failure('PASSWORD_POLICY', { slot, reason: fault });
}

function classFault(text: string): PasswordFault | undefined {
  if (!/[A-Za-z]/.test(text)) return 'no_letter';
  if (!/[0-9]/.test(text)) return 'no_digit';
  return undefined;
}

/**
 * A password of letters and digits with a letter and a digit among its first 8 characters. Uniform over all such
 * passwords: characters are drawn without bias (bytes beyond the alphabet's multiple are thrown away) and a draw that
 * breaks the rule is thrown away whole: a short account's name is in one of some thousand by chance.
 * `randomBytes` must come from the kernel at this moment (a restored snapshot repeats what a process remembers).
 */
export function generatePassword(
  length: number,
  randomBytes: (count: number) => Uint8Array,
  context: PasswordContext = {},
): Secret {
  if (length < PASSWORD_BYTES_MIN || length > PASSWORD_BYTES_MAX) throw new RangeError('length');
  for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
    const secret = Secret.ofBytes(drawCharacters(length, randomBytes));
    if (!vncAuthFault(secret) && !passwordFault(secret, context)) return secret;
    secret.wipe();
  }
  throw new Error('the random source repeats itself');
}

function drawCharacters(length: number, randomBytes: (count: number) => Uint8Array): Uint8Array {
  const characters = new Uint8Array(length);
  let filled = 0;
  for (let draw = 0; draw < DRAWS_MAX && filled < length; draw += 1) {
    for (const byte of randomBytes(length)) {
      if (filled === length || byte >= 256 - (256 % ALPHABET.length)) continue;
      characters[filled] = ALPHABET.charCodeAt(byte % ALPHABET.length);
      filled += 1;
    }
  }
  if (filled < length) throw new Error('the random source repeats itself');
  return characters;
}
