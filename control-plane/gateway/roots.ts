// Bringing machines the roots that they do not have: before anything is said to them that only a newer root explains.

import { ROOT_HOPS_MAX } from '../../protocol/limits.ts';
import type { AgentSession } from './agent-session.ts';
import type { AgentSocket } from './agent-socket.ts';
import type { GatewayParts } from './parts.ts';

type Holder = Readonly<{ socket: AgentSocket }> & Pick<AgentSession, 'rootVersion'>;

/** Sends what the holder of `rootVersion` lacks, in order. Safe to call from several places at once: nothing goes out twice. */
export async function bringRoots({ authority }: Pick<GatewayParts, 'authority'>, holder: Holder): Promise<void> {
  const missing = await authority.chain.after(holder.rootVersion, ROOT_HOPS_MAX);
  for (const { root, signed } of missing) {
    if (root.version !== holder.rootVersion + 1) continue;
    holder.rootVersion = root.version;
    holder.socket.send({ t: 'root', document: signed });
  }
}
