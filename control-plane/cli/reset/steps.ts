// An operation as the list of steps that people watch. Pure: the same operation always gives the same list.

import { isEnd, type State, states } from '../../../protocol/lifecycle.ts';
import type { OperationView } from '../../api/schemas.ts';

export type StepStatus = 'pending' | 'running' | 'done' | 'skipped' | 'failed';
export type Step = Readonly<{ id: State; title: string; status: StepStatus }>;

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
        return isPassed ? { id: state, title: done, status: 'done' } : { id: state, title: skipped, status: 'skipped' };
      }
      if (running) return { id: state, title: doing, status: 'pending' };
      running = true;
      return { id: state, title: doing, status: isEnd(view.state) ? 'failed' : 'running' };
    });
}

/** Ends other than DONE are no step: they stop the list where it is. */
function isOnTheWay(state: State): boolean {
  return state === 'DONE' || !isEnd(state);
}
