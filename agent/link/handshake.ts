// Proving who we are and learning who they are, over one fresh connection: challenge, hello, welcome, hello_ok. The server's
// time comes from its signature over our nonce and from our monotonic clock; the guest's wall clock is never asked.

import { isCode } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { HANDSHAKE_TIMEOUT_MS, ROOT_HOPS_MAX, WELCOME_ROUND_TRIP_MS_MAX } from '../../protocol/limits.ts';
import { type RootPayload, roleKeys, type SignedRoot } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type DownFrame, type Hello, type Welcome, welcome as welcomeSchema } from '../../protocol/session.ts';
import { signToken, verifyToken } from '../../protocol/token.ts';
import { WIRE_VERSION, WIRE_VERSION_MIN } from '../../protocol/version.ts';
import type { Random } from '../ports/random.ts';
import type { LinkIdentity, Progress } from './identity.ts';
import type { ControlPlaneSocket } from './socket.ts';

/** Server time in whole seconds, carried on by the monotonic clock. */
export type ServerClock = Readonly<{ nowS(): number }>;

export type Greeting = Readonly<{
  identity: LinkIdentity;
  root: RootPayload;
  /** Proves and keeps the next root. */
  learn(document: SignedRoot): Promise<RootPayload>;
  progress: Progress;
  bootId: string;
  journalHead: string | null;
  agentVersion: string;
  random: Random;
  /** The machine's own clock: nobody sets it. */
  monotonicMs(): number;
  /** Makes the counter and the time durable before the server may count them. */
  store(progress: Progress): Promise<void>;
}>;

/** Returns the server's time and the root that this connection goes by. */
export async function greet(
  socket: ControlPlaneSocket,
  greeting: Greeting,
): Promise<Readonly<{ clock: ServerClock; root: RootPayload }>> {
  const { identity, root, random, monotonicMs } = greeting;
  const an = toBase64url(random.bytes(32));
  const sn = await expectChallenge(socket);
  const hello: Hello = {
    v: 1,
    agent: identity.agent,
    sn,
    an,
    vmin: WIRE_VERSION_MIN,
    vmax: WIRE_VERSION,
    root_ver: root.version,
    boot: greeting.bootId,
    ctr: greeting.progress.ctr,
    jhead: greeting.journalHead,
    // Always said where there is one: the root that demands it may be one that this machine has yet to be brought.
    cb: socket.channelBinding,
    agent_version: greeting.agentVersion,
  };
  const askedMs = monotonicMs();
  socket.send({ t: 'hello', token: await signToken('lk-hello+jws', hello, identity.ik) });
  const { welcome, root: learned } = await expectWelcome(socket, greeting, hello);
  const heardMs = monotonicMs();
  if (heardMs - askedMs > WELCOME_ROUND_TRIP_MS_MAX) throw new Failure('EXPIRED', { reason: 'welcome_round_trip' });
  await greeting.store({ ctr: welcome.ctr, now: welcome.now });
  socket.send({ t: 'hello_ok', ctr: welcome.ctr });
  const nowS = () => welcome.now + Math.floor((monotonicMs() - heardMs) / 1000);
  return { clock: { nowS }, root: learned };
}

export async function expectChallenge(socket: ControlPlaneSocket): Promise<string> {
  const frame = await socket.next(HANDSHAKE_TIMEOUT_MS);
  if (frame?.t !== 'challenge') throw new Failure('SERVER_UNREACHABLE', { reason: 'no_challenge' });
  return frame.sn;
}

/** The next frame that is no root, and the root that stands after those before it. */
export async function learnRoots(
  socket: ControlPlaneSocket,
  known: RootPayload,
  learn: (document: SignedRoot) => Promise<RootPayload>,
): Promise<Readonly<{ frame: DownFrame | null; root: RootPayload }>> {
  let root = known;
  for (let hops = 0; ; hops += 1) {
    const frame = await socket.next(HANDSHAKE_TIMEOUT_MS);
    if (frame?.t !== 'root') return { frame, root };
    if (hops === ROOT_HOPS_MAX) throw new Failure('ROOT_INVALID', { reason: 'hops' });
    root = await learn(frame.document);
  }
}

async function expectWelcome(
  socket: ControlPlaneSocket,
  { identity, root: known, learn, progress }: Greeting,
  { an, cb }: Hello,
): Promise<Readonly<{ welcome: Welcome; root: RootPayload }>> {
  const { frame, root } = await learnRoots(socket, known, learn);
  if (frame?.t === 'error' && isCode(frame.code)) throw new Failure(frame.code, { reason: 'control_plane' });
  if (frame?.t !== 'welcome') throw new Failure('SERVER_UNREACHABLE', { reason: 'no_welcome' });
  // The keys' ends are judged by the time that this very token brings.
  const verified = await verifyToken(frame.token, 'lk-welcome+jws', roleKeys(root, 'session', null));
  const welcome = parseSchema(welcomeSchema, verified.payload);
  roleKeys(root, 'session', welcome.now)(verified.header.kid);
  if (welcome.agent !== identity.agent) throw new Failure('AUD_MISMATCH');
  if (welcome.an !== an) throw new Failure('NONCE_UNKNOWN', { reason: 'welcome' });
  if (welcome.now < progress.now || welcome.ctr !== progress.ctr + 1)
    throw new Failure('STATE_ROLLED_BACK', { reason: 'welcome' });
  // A version that the control plane has withdrawn: what it signed may be the thief's.
  if (root.version < welcome.min_root)
    throw new Failure('ROOT_ROLLBACK', { have: root.version, need: welcome.min_root });
  // Never less than the root asks for: a gateway that compared nothing says nothing.
  if (root.policy.cb === 'required' && (cb === null || welcome.cb !== cb)) {
    throw new Failure('CHANNEL_MISMATCH', { reason: cb === null ? 'no_tls' : 'welcome' });
  }
  const oldest = Math.max(WIRE_VERSION_MIN, root.policy.min_v);
  if (welcome.version < oldest || welcome.version > WIRE_VERSION) throw new Failure('VERSION_UNSUPPORTED');
  return { welcome, root };
}
