// The table of states: closed, with a way into each state and a way out of each that is no end.

import { describe, expect, test } from 'vitest';
import { agentState, ends, isEnd, mayFollow, moves, type State, states } from '../../protocol/lifecycle.ts';

function reachable(from: State): Set<State> {
  const seen = new Set<State>([from]);
  for (const state of seen) for (const next of moves[state]) seen.add(next);
  return seen;
}

describe('the table', () => {
  test('is closed: a row for each state, and moves to known states, each once', () => {
    expect(Object.keys(moves)).toEqual([...states]);
    for (const [from, to] of Object.entries(moves)) {
      expect(new Set(to).size, from).toBe(to.length);
      for (const state of to) expect(states, from).toContain(state);
    }
  });

  test('lists ends last, and each end is a state', () => {
    expect(states.slice(-ends.length)).toEqual([...ends]);
    for (const state of states) expect(isEnd(state)).toBe((ends as readonly State[]).includes(state));
  });

  test('lets nothing follow an end but EXPIRED, which the agent’s word replaces', () => {
    for (const end of ends) expect(moves[end]).toEqual(end === 'EXPIRED' ? agentState.options : []);
  });

  test('reaches every state from QUEUED', () => {
    expect([...reachable('QUEUED')].sort()).toEqual([...states].sort());
  });

  test('lets every state that is no end reach each of EXPIRED and an end by the agent', () => {
    for (const state of states.filter((candidate) => !isEnd(candidate))) {
      const after = reachable(state);
      expect(moves[state], state).toContain('EXPIRED');
      expect(
        ends.some((end) => end !== 'EXPIRED' && after.has(end)),
        state,
      ).toBe(true);
    }
  });

  test('leads back from no state but PREPARED, whose agent went away, and EXPIRED', () => {
    for (const from of states) {
      const back = moves[from].filter((to) => states.indexOf(to) < states.indexOf(from));
      expect(back, from).toEqual(from === 'PREPARED' ? ['QUEUED'] : from === 'EXPIRED' ? [...back] : []);
    }
  });
});

describe('what the table promises', () => {
  test('DONE follows BOOTED alone: no reset is done without a reboot', () => {
    expect(states.filter((from) => mayFollow(from, 'DONE'))).toEqual(['BOOTED', 'EXPIRED']);
  });

  test('nothing is cancelled once something was changed', () => {
    const changed: State[] = ['PASSWORD_SET', 'VNC_SET', 'REBOOTING', 'BOOTED'];
    for (const from of changed)
      for (const to of ['CANCELLED', 'REFUSED', 'FAILED'] as const) {
        expect(mayFollow(from, to), `${from} to ${to}`).toBe(false);
      }
  });

  test('only a reboot repeats', () => {
    expect(states.filter((state) => mayFollow(state, state))).toEqual(['REBOOTING']);
  });

  test('the agent says every state but those of the control plane', () => {
    const own: State[] = ['QUEUED', 'PREPARED', 'SENT', 'EXPIRED'];
    expect([...agentState.options, ...own].sort()).toEqual([...states].sort());
  });
});
