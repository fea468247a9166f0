// What the flows of this program need from outside themselves: the API, this user's state folder, the kernel's random
// bytes and the clock. A test or another program builds one and drives the same flows.

import type { Api } from './api.ts';

export type Client = Readonly<{
  api: Api;
  /** Holds known agents and recipient keys. */
  stateFolder: string;
  /** From the kernel, at the time of the call. */
  randomBytes: (count: number) => Uint8Array;
  now: () => Date;
}>;
