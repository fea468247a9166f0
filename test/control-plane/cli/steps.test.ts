// The list of steps that people watch.

import { expect, test } from 'vitest';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import { stepsOf } from '../../../control-plane/cli/reset/steps.ts';
import type { State } from '../../../protocol/lifecycle.ts';
import { defaultScript, operationOf } from './scripted-machine.ts';

const view = (state: State, signed: State[] = [], graceS = 0): OperationView => ({
  ...operationOf(
    defaultScript(),
    { vm: 'web-1', account: { mode: 'generated' }, vnc: { mode: 'generated' }, reboot: { grace_s: graceS } },
    null,
  ),
  state,
  receipts: signed.map((of, index) => ({
    n: index + 1,
    state: of,
    code: null,
    at: '2026-11-01T00:00:00Z',
    detail: {},
  })),
});

const statuses = (operation: OperationView) =>
  Object.fromEntries(stepsOf(operation).map(({ id, status }) => [id, status]));

test('a queued operation waits for the agent', () => {
  expect(statuses(view('QUEUED'))).toMatchObject({ PREPARED: 'running', SENT: 'pending', DONE: 'pending' });
});

test('the step after the last state reached is the one that runs', () => {
  const operation = view('SECRET_READY', ['ACCEPTED', 'SECRET_READY']);
  expect(statuses(operation)).toMatchObject({ SECRET_READY: 'done', PASSWORD_SET: 'running', VNC_SET: 'pending' });
});

test('a state that the agent left out is skipped and not done', () => {
  const operation = view('REBOOTING', ['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'REBOOTING']);
  expect(statuses(operation)).toMatchObject({ PASSWORD_SET: 'done', VNC_SET: 'skipped', REBOOTING: 'done' });
});

test('an operation that ended early fails at the step that it did not reach, and the rest stays open', () => {
  const operation = view('FAILED', ['ACCEPTED', 'SECRET_READY', 'FAILED']);
  expect(statuses(operation)).toMatchObject({ PASSWORD_SET: 'failed', VNC_SET: 'pending', DONE: 'pending' });
});

test('a done operation has no step open', () => {
  const operation = view('DONE', [
    'ACCEPTED',
    'SECRET_READY',
    'PASSWORD_SET',
    'VNC_SET',
    'REBOOTING',
    'BOOTED',
    'DONE',
  ]);
  expect(new Set(Object.values(statuses(operation)))).toEqual(new Set(['done']));
});

test('a grace period is a step where one was asked for', () => {
  expect(statuses(view('ACCEPTED', ['ACCEPTED'], 60))).toMatchObject({ WAITING: 'running' });
  expect(statuses(view('ACCEPTED', ['ACCEPTED']))).not.toHaveProperty('WAITING');
});
