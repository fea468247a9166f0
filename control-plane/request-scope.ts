// Which request of a client the present work belongs to, for the log alone: nothing may decide by it.

import { AsyncLocalStorage } from 'node:async_hooks';

/** As `x-request-id` it may come from a proxy; whatever else is there is not taken into a log. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{8,64}$/;

export type RequestScope = Readonly<{ request: string; op?: string }>;
const scopes = new AsyncLocalStorage<RequestScope>();

/** What is begun in there belongs to that request. */
export function inRequest<T>(scope: RequestScope, work: () => T): T {
  return scopes.run(scope, work);
}

/** For work that goes on for everybody, whoever woke it. */
export function outsideRequests<T>(work: () => T): T {
  return scopes.exit(work);
}

export function requestScope(): RequestScope | undefined {
  return scopes.getStore();
}
