// Questions to a person. They are asked on standard error, so that the answer of a command may go into a file, and never
// where nobody can answer. A hidden answer becomes a `Secret` at once.

import { createInterface } from 'node:readline';
import {
  select as askChoice,
  confirm as askConfirm,
  password as askHidden,
  text as askText,
  isCancel,
} from '@clack/prompts';
import { Failure } from '../../protocol/failure.ts';
import type { PasswordFault } from '../../protocol/password.ts';
import { Secret } from '../../protocol/secret.ts';
import type { CodeMethod } from './reset/request.ts';

/** A wrong use of the command line: reported with exit code 2. */
export class UsageError extends Error {}

const faultWords: Readonly<Record<PasswordFault, string>> = {
  length: 'It needs 8 to 30 characters.',
  character: 'Only printable ASCII characters without blanks.',
  no_letter: 'It needs a letter; where a VNC server reads 8 characters only, among the first 8.',
  no_digit: 'It needs a digit; where a VNC server reads 8 characters only, among the first 8.',
  account_name: 'It must not contain the account’s name.',
  common: 'It is one of the most common passwords.',
};

export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Throws a usage error that names the option to give instead. */
function demandPerson(instead: string): void {
  if (!canAsk()) throw new UsageError(`nobody can be asked here: give ${instead}`);
}

export async function confirm(message: string): Promise<boolean> {
  demandPerson('--yes');
  const answer = await askConfirm({ message, initialValue: false, output: process.stderr });
  return !isCancel(answer) && answer;
}

/** Throws `CANCELLED` where the person goes away. */
export async function choose<T extends string>(
  message: string,
  words: Readonly<Partial<Record<T, string>>>,
): Promise<T> {
  const options = Object.entries(words).map(([value, label]) => ({ value, label: String(label) }));
  const answer = await askChoice({ message, options, output: process.stderr });
  if (isCancel(answer)) throw new Failure('CANCELLED');
  return answer as T;
}

export async function askCode(message: string, method: CodeMethod): Promise<string> {
  demandPerson('--code, --code-stdin or --key-file');
  const answer = await askText({
    message,
    output: process.stderr,
    validate: (value) => (normalCode(value ?? '', method) ? undefined : codeForms[method]),
  });
  if (isCancel(answer)) throw new Failure('CANCELLED');
  return normalCode(answer, method) ?? '';
}

const codeForms: Readonly<Record<CodeMethod, string>> = {
  totp: 'Six digits.',
  email: 'Eight digits.',
  recovery: 'Four groups of five letters and digits.',
};

/** Authenticators show codes as `123 456`, and what was written down may be in capitals. */
export function normalCode(text: string, method: CodeMethod): string | undefined {
  const signs = text.replaceAll(/[\s-]/g, '').toLowerCase();
  if (method === 'recovery') {
    return /^[0-9a-z]{20}$/.test(signs) ? signs.replace(/(.{5})(?=.)/g, '$1-') : undefined;
  }
  return (method === 'totp' ? /^[0-9]{6}$/ : /^[0-9]{8}$/).test(signs) ? signs : undefined;
}

/** Asked twice, hidden. */
export async function askPassword(name: string, fault: (secret: Secret) => PasswordFault | undefined): Promise<Secret> {
  demandPerson('--password-stdin');
  for (;;) {
    const first = await hidden(`New ${name}`, (value) => {
      const found = fault(Secret.ofText(value));
      return found && faultWords[found];
    });
    const second = await hidden(`The ${name} once more`, () => undefined);
    const same = first.equals(second);
    second.wipe();
    if (same) return first;
    first.wipe();
    process.stderr.write('They differ; once more.\n');
  }
}

/** Once, hidden. */
export function askSecret(message: string, instead: string): Promise<Secret> {
  demandPerson(instead);
  return hidden(message, (value) => (value === '' ? 'It is empty.' : undefined));
}

async function hidden(message: string, validate: (value: string) => string | undefined): Promise<Secret> {
  const answer = await askHidden({
    message,
    output: process.stderr,
    validate: (value) => validate(value ?? ''),
    clearOnError: true,
  });
  if (isCancel(answer)) throw new Failure('CANCELLED');
  return Secret.ofText(answer);
}

/** Reads secrets from standard input, one a line: as many as were asked for, and not one more. */
export function secretLines(input: NodeJS.ReadableStream = process.stdin): () => Promise<Secret> {
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done) throw new UsageError('standard input ended before the password');
    return Secret.ofText(value as string);
  };
}
