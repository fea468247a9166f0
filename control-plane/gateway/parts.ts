// What the gateway is made of, handed in by the composition root.

import type { Logger } from 'pino';
import type { Code } from '../../protocol/codes.ts';
import type { SessionAuthority } from '../config/authority.ts';
import type { Installation } from '../config/installation.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import type { SignerClient } from '../signer/client.ts';
import type { Retention } from '../store/retention.ts';
import type { Store } from '../store/store.ts';

export type GatewayParts = Readonly<{
  /** This gateway among others; another one after each start. */
  id: string;
  store: Store;
  signer: SignerClient;
  installation: Installation;
  /** The session key, and the root that names it. */
  authority: SessionAuthority;
  randomBytes: RandomBytes;
  /** Milliseconds since 1970: the time that is told to agents and written into history. */
  nowMs: () => number;
  log: Logger;
  onHandshakeRefused?: (code: Code) => void;
  /** How long events and operations that are over are kept. */
  retention: Retention;
}>;
