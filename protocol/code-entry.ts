// What is said of a code, and the usual combinations of it.

/** What a code says of the machine: nothing was changed, something was, or it cannot be told from the code alone. */
export type Changed = 'nothing' | 'something' | 'unknown';

export type CodeEntry = Readonly<{
  /** `refusal`: the request is not acted upon. `failure`: it was tried. `warning`: beside a success. `error`: of a program. */
  kind: 'refusal' | 'failure' | 'warning' | 'error';
  changed: Changed;
  /** Whether the same request may succeed later without anyone changing it. */
  retry: boolean;
  /** For an operator; one sentence. */
  sentence: string;
  /** What to do next; one sentence. */
  hint: string;
}>;

type Kind = CodeEntry['kind'];
export const entry =
  (kind: Kind, changed: Changed, retry: boolean) =>
  (sentence: string, hint: string): CodeEntry => ({ kind, changed, retry, sentence, hint });

export const refused = entry('refusal', 'nothing', false);
export const refusedForNow = entry('refusal', 'nothing', true);
export const failed = entry('failure', 'nothing', false);
export const failedForNow = entry('failure', 'nothing', true);
export const halfway = entry('failure', 'something', false);
export const unclear = entry('failure', 'unknown', false);
export const warning = entry('warning', 'something', false);
export const notice = entry('warning', 'nothing', false);
export const error = entry('error', 'nothing', false);
export const errorForNow = entry('error', 'nothing', true);
