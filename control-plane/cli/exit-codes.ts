// The exit codes that scripts rely on. Every way out of a command ends here.

import { codes } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import type { State } from '../../protocol/lifecycle.ts';

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  partial: 4,
  late: 5,
  cancelled: 6,
  /** Ctrl-C while watching or waiting: an operation goes on (128 + SIGINT, as shells say it). */
  interrupted: 130,
} as const;

const byState: Partial<Record<State, number>> = {
  DONE: EXIT.done,
  PARTIAL: EXIT.partial,
  FAILED: EXIT.failed,
  REFUSED: EXIT.refused,
  INTERRUPTED: EXIT.failed,
  CANCELLED: EXIT.cancelled,
  EXPIRED: EXIT.late,
};

/** An operation's exit code; one that has not ended is late. */
export function exitCodeOfState(state: State): number {
  return byState[state] ?? EXIT.late;
}

/** A request that was not acted upon counts as refused; anything that went wrong, as failed. */
export function exitCodeOfError(error: unknown): number {
  if (!(error instanceof Failure)) return EXIT.failed;
  if (error.code === 'CANCELLED') return EXIT.cancelled;
  if (error.code === 'EXPIRED' || error.code === 'PROOF_MISSING') return EXIT.late;
  const { kind } = codes[error.code];
  return kind === 'refusal' || kind === 'warning' ? EXIT.refused : EXIT.failed;
}
