// The one error that travels: a code of `codes.ts` with a few plain details. Adapters turn what the system says into it
// at the edge and keep the cause; callers branch on the code and never on text.

import { type Code, codes } from './codes.ts';

/** Values that may stand beside a code: short, printable, never a secret. */
export type Details = Readonly<Record<string, string | number | boolean | null>>;

/** An expected failure. `message` is the code's sentence; `details` name the subject. */
export class Failure extends Error {
  readonly code: Code;
  readonly details: Details;

  constructor(code: Code, details: Details = {}, cause?: unknown) {
    super(codes[code].sentence, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.code = code;
    this.details = details;
  }

  get hint(): string {
    return codes[this.code].hint;
  }

  /** For whoever reads a program's standard error. */
  get line(): string {
    const details = Object.entries(this.details).map(([name, value]) => `${name}=${value}`);
    return `${this.code} ${this.message}${details.length > 0 ? ` (${details.join(' ')})` : ''} ${this.hint}`;
  }
}

/** The failure's code, or `undefined` for any other error (a defect, which must stop the process). */
export function codeOf(error: unknown): Code | undefined {
  return error instanceof Failure ? error.code : undefined;
}
