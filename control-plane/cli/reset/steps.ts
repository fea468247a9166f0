// An operation as the list of steps that people watch. Pure: the same operation always gives the same list.

import { isEnd, type State, states } from '../../../protocol/lifecycle.ts';
import type { OperationView } from '../../api/schemas.ts';

export type StepStatus = 'pending' | 'running' | 'done' | 'skipped' | 'failed';
/** `ms`: how long it took, or takes so far; `null` where that is not known. */
export type Step = Readonly<{ id: State; title: string; status: StepStatus; ms: number | null }>;

type Plan = Readonly<{
  state: State;
  running: string;
  done: string;
  /** Where the agent left it out. */
  skipped?: string;
  when?(view: OperationView): boolean;
}>;

const isGenerated = ({ account, vnc }: OperationView): boolean =>
  account?.mode === 'generated' || vnc?.mode === 'generated';

/** `running` is shown while the state is awaited. */
const plans: readonly Plan[] = [
  { state: 'PREPARED', running: 'Waiting for the agent', done: 'The agent is ready' },
  { state: 'SENT', running: 'Signing and sending the command', done: 'Command signed and sent' },
  { state: 'ACCEPTED', running: 'Waiting for the agent to check the command', done: 'The agent accepted the command' },
  {
    state: 'WAITING',
    running: 'Starting the grace period',
    done: 'The grace period has begun',
    skipped: 'No grace period',
    when: ({ grace_s: graceS }) => graceS > 0,
  },
  {
    state: 'SECRET_READY',
    running: 'Waiting for the new password to be sealed',
    done: 'New password generated and sealed to you',
    skipped: 'No password generated',
    when: isGenerated,
  },
  {
    state: 'PASSWORD_SET',
    running: 'Changing the account password',
    done: 'Account password changed',
    skipped: 'Account password not changed',
    when: ({ account }) => account !== null,
  },
  {
    state: 'VNC_SET',
    running: 'Changing the VNC password',
    done: 'VNC password changed',
    skipped: 'VNC password not changed',
    when: ({ vnc }) => vnc !== null,
  },
  { state: 'REBOOTING', running: 'Asking the machine to restart', done: 'The machine is restarting' },
  { state: 'BOOTED', running: 'Waiting for the machine to come back', done: 'The machine is back' },
  { state: 'DONE', running: 'Proving that the new secrets are in force', done: 'Proven to be in force' },
];

export function stepsOf(view: OperationView): readonly Step[] {
  const reached = new Set<State>([view.state, ...view.receipts.map(({ state }) => state)]);
  const farthest = Math.max(...[...reached].filter(isOnTheWay).map((state) => states.indexOf(state)));
  let running = false;
  return plans
    .filter(({ when }) => when === undefined || when(view))
    .map(({ state, running: doing, done, skipped }) => {
      // What comes before the farthest state was passed, and the agent leaves out states that it did not need.
      if (reached.has(state) || states.indexOf(state) < farthest) {
        const isPassed = reached.has(state) || skipped === undefined;
        if (!isPassed) return { id: state, title: skipped, status: 'skipped', ms: null };
        return { id: state, title: done, status: 'done', ms: msUntil(view, state) };
      }
      if (running) return { id: state, title: doing, status: 'pending', ms: null };
      running = true;
      if (isEnd(view.state)) return { id: state, title: doing, status: 'failed', ms: null };
      return { id: state, title: doing, status: 'running', ms: view.state_ms };
    });
}

/** How long the state before it lasted, which is what was waited for it. */
function msUntil({ times }: OperationView, state: State): number | null {
  return times.findLast(({ to }) => to === state)?.ms ?? null;
}

/** Ends other than DONE are no step: they stop the list where it is. */
function isOnTheWay(state: State): boolean {
  return state === 'DONE' || !isEnd(state);
}
