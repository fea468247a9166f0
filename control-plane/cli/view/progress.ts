// Shows an operation while it runs: live steps on a terminal, plain lines elsewhere, JSON for scripts. All three are fed
// the same sights of the operation and decide nothing.

import { Listr, type ListrTask } from 'listr2';
import type { Code } from '../../../protocol/codes.ts';
import type { OperationView, StateTimeView } from '../../api/schemas.ts';
import { type Step, stepsOf } from '../reset/steps.ts';
import { moveText } from './outcome.ts';
import { codeText, durationText, printable, writeJson, writeLine } from './text.ts';

export type ProgressView = Readonly<{
  show(view: OperationView): void;
  unreachable(code: Code): void;
  reachable(): void;
  /** Leaves the screen as it is; resolves when nothing more will be drawn. */
  close(): Promise<void>;
}>;

/** A state that was reached, once each. */
type Move = Readonly<{
  state: string;
  code: string | null;
  at: string;
  n: number | null;
  detail: object;
  /** The state before it, and how long that lasted. */
  after: StateTimeView | null;
}>;

/** Returns the moves of each sight that no earlier sight showed. */
function newMoves(): (view: OperationView) => readonly Move[] {
  let lastN = 0;
  let lastState: string | null = null;
  return (view) => {
    const moves: Move[] = view.receipts
      .filter(({ n }) => n > lastN)
      .map(({ state, code, at, n, detail }) => {
        const after = view.times.find((time) => time.n === n) ?? null;
        return { state, code, at, n, detail, after };
      });
    lastN = Math.max(lastN, ...view.receipts.map(({ n }) => n));
    const newest = moves.at(-1)?.state ?? lastState;
    if (view.state !== newest) {
      const { state, code, updated_at: at } = view;
      moves.push({ state, code, at, n: null, detail: {}, after: view.times.at(-1) ?? null });
    }
    lastState = view.state;
    return moves;
  };
}

/** One JSON object for each state reached. */
export function jsonProgress(): ProgressView {
  const moves = newMoves();
  let overdue = false;
  return {
    show(view) {
      for (const { state, code, at, n, detail, after } of moves(view)) {
        const time = {
          from: after?.state ?? null,
          spent_ms: after?.ms ?? null,
          measured_by: after?.measured_by ?? null,
        };
        writeJson({ event: 'state', op: view.op, state, code, at, n, detail, ...time });
      }
      if (view.overdue && !overdue) writeJson({ event: 'overdue', op: view.op });
      overdue = view.overdue;
    },
    unreachable: (code) => writeJson({ event: 'unreachable', code }),
    reachable: () => writeJson({ event: 'reachable' }),
    close: () => Promise.resolve(),
  };
}

/** One line for each state reached. */
export function plainProgress(): ProgressView {
  const moves = newMoves();
  let overdue = false;
  return {
    show(view) {
      for (const { state, code, at, after } of moves(view)) {
        const took = after?.ms == null ? '' : `  (${after.state} took ${durationText(after.ms)})`;
        writeLine(`${at}  ${printable(moveText(state, code))}${took}`);
      }
      if (view.overdue && !overdue) writeLine(`${view.updated_at}  ${codeText('OVERDUE')}`);
      overdue = view.overdue;
    },
    unreachable: (code) => writeLine(`${codeText(code)} Trying again.`),
    reachable: () => writeLine('The control plane is back.'),
    close: () => Promise.resolve(),
  };
}

export function openProgress({ json }: { json: boolean }): ProgressView {
  if (json) return jsonProgress();
  return process.stdout.isTTY ? liveProgress() : plainProgress();
}

/** How often a running step's time is drawn. */
const TICK_MS = 1_000;

/** The list of steps, redrawn in place. */
export function liveProgress(): ProgressView {
  let latest: OperationView | undefined;
  let latestMs = 0;
  let ticking: NodeJS.Timeout | undefined;
  let away: Code | undefined;
  let closed = false;
  let finished: Promise<unknown> = Promise.resolve();
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of [...waiting]) look();
  };

  const note = (view: OperationView): string => {
    if (away) return `${codeText(away)} Trying again.`;
    if (view.overdue) return codeText('OVERDUE');
    if (view.state === 'WAITING' && view.grace_until) return `until ${view.grace_until}`;
    if (view.state === 'QUEUED' && view.not_before) return `not before ${view.not_before}`;
    if (view.reason) return codeText(view.reason);
    return '';
  };

  /** With the time that it took; of the running step, what the server said and what has passed here since. */
  const titleOf = ({ title, status, ms }: Step): string => {
    if (ms === null) return title;
    return `${title} (${durationText(status === 'running' ? ms + performance.now() - latestMs : ms)})`;
  };

  /** A task lasts as long as its step is running; it ends in that step's way. */
  const taskOf = (index: number): ListrTask => ({
    title: latest ? titleOf(stepsOf(latest)[index] as Step) : '',
    task: (_, task) =>
      new Promise<void>((resolve, reject) => {
        const look = () => {
          if (!latest) return;
          const step = stepsOf(latest)[index];
          if (!step) return;
          const remark = note(latest);
          task.title = titleOf(step);
          task.output = remark;
          const open = step.status === 'running' || step.status === 'pending';
          if (open && !closed) return;
          waiting.delete(look);
          if (step.status === 'done') resolve();
          else if (step.status === 'skipped' || open) {
            // Nothing is said of a step whose end was not seen.
            task.skip(open ? `${step.title} (no longer watched)` : step.title);
            resolve();
          } else reject(new Error(step.title));
        };
        waiting.add(look);
        look();
      }),
    rendererOptions: { bottomBar: false },
  });

  const start = (view: OperationView) => {
    const list = new Listr(
      stepsOf(view).map((_, index) => taskOf(index)),
      {
        exitOnError: true,
        registerSignalListeners: false,
        rendererOptions: { collapseSkips: true, showErrorMessage: false },
      },
    );
    finished = list.run().catch(() => undefined);
    ticking = setInterval(wake, TICK_MS);
  };

  return {
    show(view) {
      const first = latest === undefined;
      latest = view;
      latestMs = performance.now();
      if (first) start(view);
      else wake();
    },
    unreachable(code) {
      away = code;
      wake();
    },
    reachable() {
      away = undefined;
      wake();
    },
    async close() {
      closed = true;
      clearInterval(ticking);
      wake();
      await finished;
    },
  };
}
