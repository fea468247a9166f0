// Whether a new VNC secret is in force, by asking the server. Servers count failed logins, some against everybody: at most
// one try of a rotation is expected to fail, and a success follows it, which clears the count.

import type { VncState } from '../../protocol/receipt.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { Vnc, VncServer, VncVerdict } from '../ports/vnc.ts';
import { tryTo } from './conditions.ts';

export type VncProof = Readonly<{ state: VncState; reason?: string }>;

export type Asked = Readonly<{
  vnc: Vnc;
  server: VncServer;
  fresh: Secret;
  /** What was in force, as far as the files say. */
  previous: Secret | null;
  /** What the server said to it before it was replaced. */
  before: VncVerdict;
}>;

/** The server takes both secrets: a word for `old_accepted` where the new one is accepted as well. */
export const BOTH = 'both_accepted';

/** Right after the files were written, while the server still runs as it did. */
export async function proveNow(asked: Asked): Promise<VncProof> {
  const { server, before } = asked;
  if (server.reads === 'start') return { state: 'restart_required' };
  // That was the one try that fails: the server obeys something else than these files.
  if (before.verdict === 'rejected') return { state: 'unverifiable', reason: 'other_in_force' };
  return judge(asked, await say(asked, asked.fresh));
}

/** From the server's first word on the new secret. */
export async function judge(asked: Asked, now: VncVerdict): Promise<VncProof> {
  const { previous, before } = asked;
  if (now.verdict === 'unknown') return { state: 'unverifiable', reason: now.reason };
  if (now.verdict === 'rejected') {
    // A right try, for nothing but this secret was in force a moment ago.
    const stays = previous && before.verdict === 'accepted' && (await say(asked, previous)).verdict === 'accepted';
    return stays ? { state: 'old_accepted' } : { state: 'unverifiable', reason: 'rejected' };
  }
  if (previous === null || before.verdict === 'rejected') return { state: 'verified' };
  const old = await say(asked, previous);
  if (old.verdict === 'accepted') return { state: 'old_accepted', reason: BOTH };
  if (old.verdict === 'unknown') return { state: 'verified' };
  const again = await say(asked, asked.fresh);
  return again.verdict === 'accepted' ? { state: 'verified' } : { state: 'unverifiable', reason: again.reason };
}

/** Whether a restart of the server would let it obey what was written. */
export function wantsRestart({ state, reason }: VncProof): boolean {
  if (state === 'unverifiable') return reason === 'other_in_force' || reason === 'rejected';
  return state === 'restart_required' || (state === 'old_accepted' && reason !== BOTH);
}

/** A port that fails has said nothing. */
export async function say({ vnc, server }: Pick<Asked, 'vnc' | 'server'>, secret: Secret): Promise<VncVerdict> {
  return verdictOf(() => vnc.probe(server, secret));
}

export async function verdictOf(ask: () => Promise<VncVerdict>): Promise<VncVerdict> {
  const asked = await tryTo(ask);
  return 'value' in asked ? asked.value : { verdict: 'unknown', reason: asked.code };
}
