// What the HTTP API is made of, handed in by the composition root.

import type { Logger } from 'pino';
import type { Installation } from '../config/installation.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import type { WebhookOptions } from '../config/webhooks.ts';
import type { Agents } from '../gateway/agents.ts';
import type { Traces } from '../observability/traces.ts';
import type { People } from '../people/sign-in.ts';
import type { SignerClient } from '../signer/client.ts';
import type { Mailer } from '../signer/mailer.ts';
import type { Store } from '../store/store.ts';

export type ApiParts = Readonly<{
  store: Store;
  signer: SignerClient;
  agents: Agents;
  installation: Installation;
  /** Where agents connect, and what they verify that place with. */
  agentUrl: () => string;
  caPem: string;
  randomBytes: RandomBytes;
  nowMs: () => number;
  log: Logger;
  requestsPerMinuteMax: number;
  webhooks: WebhookOptions;
  traces?: Traces | null;
  people: People;
  /** For invitations; `null`: no mail is set up. */
  mailer: Mailer | null;
  /** How often a program may ask whether it was let in, at first. */
  loginPollS: number;
  /** Where browsers find this. */
  publicUrl: () => string;
}>;
