// Other programs, run to their end: with pipes, or on a pseudo-terminal where the program insists on one. Adapters of
// systems that this project cannot run everywhere go through here, so that their exchanges can be played back.

/** What is run: no shell, nothing but these arguments and this environment. Neither may ever hold a secret. */
export type Program = Readonly<{
  program: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  timeoutMs: number;
  /** A program that says more than this is ended. */
  outputBytesMax: number;
}>;

/**
 * `exited`: by itself, and `status` says how (`null`: by a signal). `missing`: there is no such program. `not_started`: it
 * could not be run. The others: it was ended, by its time, by what it said, or because the listener said `stop`.
 */
export type Ending = 'exited' | 'missing' | 'not_started' | 'timeout' | 'output_limit' | 'stopped';

export type Ended = Readonly<{ ending: Ending; status: number | null }>;

/**
 * What to do after a piece of output: wait for more, end the program, or type these bytes once the terminal has been
 * silent for `settleMs`; `typed` is called as they are typed. More output before that asks anew and types nothing. The
 * bytes are the adapter's from then on, and it wipes them.
 */
export type TerminalAct = 'wait' | 'stop' | Readonly<{ type: Uint8Array; settleMs: number; typed(): void }>;

/**
 * The contract:
 * - `run` writes `input` to standard input, closes it, and gives what came from standard output; standard error is dropped,
 *   for it may quote what was typed. The caller wipes `input` and `output`.
 * - `talk` runs on a terminal of 200 columns. `hear` is called with each piece of output, in order, and never after the
 *   end. What the terminal says is kept by nobody but the listener.
 * - Neither rejects for anything that a program does: that is its `Ended`. The program itself is gone when they return.
 */
export type Processes = {
  run(program: Program, input: Uint8Array): Promise<Ended & Readonly<{ output: Buffer }>>;
  talk(program: Program, hear: (output: Uint8Array) => TerminalAct): Promise<Ended>;
};
