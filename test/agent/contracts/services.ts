// The contract of the services port.

import { equal, notEqual } from 'node:assert/strict';
import type { Services } from '../../../agent/ports/services.ts';
import { type Rule, refuses } from './contract.ts';

/**
 * How a process came to be: the main one of a service; started by such a one through a shell that does nothing else; taken
 * over by a login, as Debian's unit of TigerVNC has it; the child of a main process with work of its own; in a scope; or
 * started by nobody's service.
 */
export type Arrangement = 'main' | 'through_shell' | 'login' | 'child' | 'scope' | 'nobody';

export type ServicesSubject = Readonly<{
  services: Services;
  given(arrangement: Arrangement): Promise<Readonly<{ pid: number; service: string }>>;
  /** The process that now is what `given` gave. */
  pidNow(arrangement: Arrangement): Promise<number>;
}>;

const isOwn = (arrangement: Arrangement, title: string): Rule<ServicesSubject> => ({
  title,
  async run({ services, given, pidNow }) {
    const { pid, service } = await given(arrangement);
    equal(await services.serviceOf(pid), service);
    await services.restart(service);
    const now = await pidNow(arrangement);
    notEqual(now, pid);
    equal(await services.serviceOf(now), service);
  },
});

const isNone = (arrangement: Arrangement, title: string): Rule<ServicesSubject> => ({
  title,
  async run({ services, given }) {
    equal(await services.serviceOf((await given(arrangement)).pid), null);
  },
});

export const servicesRules: readonly Rule<ServicesSubject>[] = [
  isOwn('main', 'the main process of a service is that service, and its restart makes another'),
  isOwn('through_shell', 'what a service starts through a shell is that service'),
  isOwn('login', 'what a service starts by a login is that service'),
  isNone('child', 'what a main process starts beside its own work is no service'),
  isNone('scope', 'a scope is no service'),
  isNone('nobody', 'a process that no service started is none'),
  {
    title: 'a process that is not there is no service',
    async run({ services }) {
      equal(await services.serviceOf(2 ** 22 + 1), null);
    },
  },
  {
    title: 'a restart that does not succeed is told',
    async run({ services }) {
      await refuses(services.restart('not-there.service'), 'VNC_FAILED', 'restart_failed');
    },
  },
];
