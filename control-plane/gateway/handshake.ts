// From an open socket to an authenticated session: challenge, hello, welcome, hello_ok. A peer that does not prove itself
// learns nothing but that it was closed.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { HANDSHAKE_TIMEOUT_MS } from '../../protocol/limits.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type Hello, hello as helloSchema, type Welcome } from '../../protocol/session.ts';
import { onlyKey, readHeader, signToken, verifyToken } from '../../protocol/token.ts';
import { WIRE_VERSION, WIRE_VERSION_MIN } from '../../protocol/version.ts';
import { judgeCounter } from '../core/enrolment.ts';
import { holderOf } from '../store/gateways.ts';
import { rememberNonce } from '../store/nonces.ts';
import { askGateway } from '../store/questions.ts';
import { type EnrolledVm, flagVm, quarantineVm, rememberJournalHead, updateVm, vmByKey } from '../store/vms.ts';
import { AgentSession } from './agent-session.ts';
import type { AgentSocket } from './agent-socket.ts';
import { enrolMachine } from './enrolment.ts';
import type { GatewayParts } from './parts.ts';
import { STILL_ALIVE_MS } from './questions.ts';
import { bringRoots } from './roots.ts';
import type { Switchboard } from './switchboard.ts';

const HELD = ['AGENT_QUARANTINED', 'CLONE_SUSPECTED', 'STATE_ROLLED_BACK'];

/** Longer than what a refusal costs, where a row is written for it, too. */
const REFUSED_AFTER_MS = 50;

/** Another gateway hears of the question, and we of its answer, a little later. */
const WAY_MS = 1_500;

/**
 * The session, or `null` where the conversation is over: after an enrolment, or because the peer was refused. `onProven`
 * is called once the peer has shown that it is nobody's guess.
 */
export async function shakeHands(
  parts: GatewayParts,
  switchboard: Switchboard,
  socket: AgentSocket,
  onProven: () => void,
): Promise<AgentSession | null> {
  const sn = toBase64url(parts.randomBytes(32));
  socket.send({ t: 'challenge', sn });
  const frame = await socket.next(HANDSHAKE_TIMEOUT_MS);
  if (!frame) return null;
  const evenly = untilEven(performance.now());
  try {
    if (frame.t === 'enrol') {
      await answerEnrolment(parts, socket, { token: frame.token, sn, evenly });
      onProven();
      return null;
    }
    if (frame.t !== 'hello') throw new Failure('SCHEMA_INVALID', { field: 't' });
    const session = await greet(parts, switchboard, socket, { token: frame.token, sn });
    onProven();
    return session;
  } catch (error) {
    if (!codeOf(error)) throw error;
    const { code, details } = error as Failure;
    parts.log.warn({ code, details }, 'handshake refused');
    parts.onHandshakeRefused?.(code);
    await evenly();
    // Only a peer that has shown the identity's key gets this far: its owner is told what to look for.
    if (HELD.includes(code)) socket.send({ t: 'error', code: 'AGENT_QUARANTINED' });
    return null;
  }
}

/**
 * What is refused is refused after the same time, whatever was looked up, verified or written down before: else a stranger could
 * tell by a clock which machines and tokens there are.
 */
function untilEven(askedAt: number): () => Promise<void> {
  return async () => {
    const left = () => askedAt + REFUSED_AFTER_MS - performance.now();
    // A turn of the loop first: timers go by the time at its beginning, which a commit in this turn has left behind.
    await nextTurn();
    if (left() > 1) await sleep(Math.floor(left()));
    // Timers know whole milliseconds alone: the rest would tell what came before.
    while (left() > 0) await nextTurn();
  };
}

async function answerEnrolment(
  parts: GatewayParts,
  socket: AgentSocket,
  { token, sn, evenly }: Readonly<{ token: string; sn: string; evenly: () => Promise<void> }>,
): Promise<void> {
  try {
    const answer = await enrolMachine(parts, token, sn);
    await bringRoots(parts, { socket, rootVersion: answer.rootVersion });
    socket.send({ t: 'enrolled', token: answer.token });
  } catch (error) {
    if (!codeOf(error)) throw error;
    await evenly();
    // One word for every reason: whoever tries tokens learns nothing from the answer. The log and the alarm say which.
    socket.send({ t: 'error', code: 'JOIN_TOKEN_INVALID' });
    throw error;
  }
}

async function greet(
  parts: GatewayParts,
  switchboard: Switchboard,
  socket: AgentSocket,
  said: Readonly<{ token: string; sn: string }>,
): Promise<AgentSession> {
  const { vm, hello } = await verifyHello(parts, said);
  if (hello.vmax < WIRE_VERSION_MIN || hello.vmin > WIRE_VERSION) {
    socket.send({ t: 'error', code: 'VERSION_UNSUPPORTED' });
    throw new Failure('VERSION_UNSUPPORTED', { vm: vm.id, vmin: hello.vmin, vmax: hello.vmax });
  }
  await demandBinding(parts, socket, vm, hello);
  await recordHello(parts, switchboard, vm, hello);
  await endOlder(parts, switchboard, vm);
  const session = new AgentSession(vm, socket, {
    id: toBase64url(parts.randomBytes(12)),
    replaces: await endElsewhere(parts, vm),
    rootVersion: hello.root_ver,
    version: versionFor(hello),
  });
  await bringRoots(parts, session);
  const ctr = hello.ctr + 1;
  socket.send({ t: 'welcome', token: await welcome(parts, vm, hello, ctr) });
  const answer = await socket.next(HANDSHAKE_TIMEOUT_MS);
  if (answer?.t !== 'hello_ok' || answer.ctr !== ctr)
    throw new Failure('SCHEMA_INVALID', { vm: vm.id, field: 'hello_ok' });
  await commit(parts, vm, ctr);
  return session;
}

async function verifyHello(
  { store }: GatewayParts,
  { token, sn }: Readonly<{ token: string; sn: string }>,
): Promise<{ vm: EnrolledVm; hello: Hello }> {
  const { kid } = readHeader(token, 'lk-hello+jws');
  const vm = await vmByKey(store.db, kid);
  if (!vm) throw new Failure('KID_UNKNOWN', { kid: kid.slice(0, 8) });
  const { payload } = await verifyToken(token, 'lk-hello+jws', onlyKey(kid, vm.ik));
  const hello = parseSchema(helloSchema, payload);
  if (hello.agent !== vm.agent) throw new Failure('AUD_MISMATCH', { vm: vm.id });
  if (hello.sn !== sn) throw new Failure('NONCE_UNKNOWN', { vm: vm.id, reason: 'sn' });
  return { vm, hello };
}

/**
 * Where the root demands it, the machine must be at the other end of our own TLS session. Only its key can have signed
 * the hello, so another value means that somebody else ends TLS in between.
 */
async function demandBinding(
  { authority, store, nowMs }: GatewayParts,
  { channelBinding }: AgentSocket,
  vm: EnrolledVm,
  { cb }: Hello,
): Promise<void> {
  const { root } = await authority.current();
  if (root.policy.cb !== 'required' || (cb !== null && cb === channelBinding)) return;
  // Once: a machine behind a relay comes again every minute.
  if (!vm.flags.includes('CHANNEL_MISMATCH')) {
    await store.write((trx) => flagVm(trx, vm.id, 'CHANNEL_MISMATCH', nowMs()));
  }
  throw new Failure('CHANNEL_MISMATCH', {
    vm: vm.id,
    reason: channelBinding === null || cb === null ? 'no_tls' : 'cb',
  });
}

/**
 * Takes the nonce, and compares counter and journal with what this identity said before: less, or an older one, is an
 * earlier state of that disk or a copy of it. Such an identity is held, and so is one that already was: nobody who shows it gets
 * in before an operator has looked.
 */
async function recordHello(
  { store, nowMs, log }: GatewayParts,
  switchboard: Switchboard,
  known: EnrolledVm,
  hello: Hello,
): Promise<void> {
  const refusal = await store.write(async (trx) => {
    const at = nowMs();
    // As it is now: another connection of this identity may have been judged since ours was looked up.
    const vm = (await vmByKey(trx, known.ikKid)) ?? known;
    if (!(await rememberNonce(trx, hello.an, at))) return new Failure('NONCE_UNKNOWN', { vm: vm.id, reason: 'an' });
    if (vm.quarantine) return new Failure('AGENT_QUARANTINED', { vm: vm.id, reason: vm.quarantine.code });
    const counter = judgeCounter(vm.ctr, hello.ctr);
    if (counter !== 'same') log.warn({ vm: vm.id, stored: vm.ctr, said: hello.ctr, counter }, 'counter');
    const { boot, jhead, agent_version } = hello;
    const older = jhead !== null && (await rememberJournalHead(trx, vm, jhead, at));
    if (counter === 'rolled_back' || older) {
      await quarantineVm(trx, vm.id, 'STATE_ROLLED_BACK', at);
      return new Failure('STATE_ROLLED_BACK', { vm: vm.id, reason: older ? 'journal' : 'counter' });
    }
    await updateVm(trx, vm.id, { boot, agent_version, ...(jhead === null ? {} : { jhead }) });
    return null;
  });
  if (!refusal) return;
  // Nobody can tell which of the two is the machine: whoever is in goes, too.
  if (refusal.code === 'STATE_ROLLED_BACK') switchboard.of(known.id)?.socket.refuse();
  // Thrown here: within the transaction it would take the quarantine back.
  throw refusal;
}

/**
 * Counts the welcome, unless the identity was held since it was given, or another connection was counted: then it lets nobody
 * in. An agent stores each welcome's counter, so two answers to the same one are of two machines; a lower one comes late.
 */
async function commit({ store, nowMs }: GatewayParts, { id, ikKid }: EnrolledVm, ctr: number): Promise<void> {
  const refusal = await store.write(async (trx) => {
    const vm = await vmByKey(trx, ikKid);
    if (!vm) return new Failure('KID_UNKNOWN', { vm: id });
    if (vm.quarantine) return new Failure('AGENT_QUARANTINED', { vm: id, reason: vm.quarantine.code });
    if (vm.ctr > ctr) return new Failure('NONCE_UNKNOWN', { vm: id, reason: 'ctr' });
    if (vm.ctr === ctr) {
      await quarantineVm(trx, id, 'CLONE_SUSPECTED', nowMs());
      return new Failure('CLONE_SUSPECTED', { vm: id });
    }
    await updateVm(trx, id, { ctr, last_seen: nowMs() });
    return null;
  });
  if (refusal) throw refusal;
}

/** One connection a machine. The older one is a dropped line, unless it still answers: then there are two machines. */
async function endOlder({ store, nowMs, log }: GatewayParts, switchboard: Switchboard, vm: EnrolledVm): Promise<void> {
  const older = switchboard.of(vm.id);
  if (!older) return;
  if (!(await older.socket.answers(STILL_ALIVE_MS))) return older.socket.terminate();
  log.warn({ vm: vm.id }, 'a second connection while the first still answers');
  await store.write((trx) => quarantineVm(trx, vm.id, 'CLONE_SUSPECTED', nowMs()));
  older.socket.refuse();
  throw new Failure('CLONE_SUSPECTED', { vm: vm.id });
}

/** The same of a connection through another gateway: the session that ended there. One that does not answer has none. */
async function endElsewhere({ id, store, nowMs, log }: GatewayParts, vm: EnrolledVm): Promise<string | null> {
  const holder = await holderOf(store.db, vm.id);
  if (!holder || holder.gateway === id) return null;
  const asked = { vm: vm.id, gateway: holder.gateway };
  const answer = await askGateway(store, asked, { ask: 'alive' }, STILL_ALIVE_MS + WAY_MS);
  if (!(answer as { alive: boolean } | null)?.alive) return holder.session;
  log.warn({ vm: vm.id, gateway: holder.gateway }, 'a second connection while the first still answers elsewhere');
  await store.write((trx) => quarantineVm(trx, vm.id, 'CLONE_SUSPECTED', nowMs()));
  throw new Failure('CLONE_SUSPECTED', { vm: vm.id });
}

async function welcome(
  { authority, randomBytes, nowMs }: GatewayParts,
  vm: EnrolledVm,
  { an, cb, vmax }: Hello,
  ctr: number,
): Promise<string> {
  const { root, key } = await authority.current();
  const payload: Welcome = {
    v: 1,
    agent: vm.agent,
    an,
    sid: toBase64url(randomBytes(32)),
    version: versionFor({ vmax }),
    now: Math.floor(nowMs() / 1000),
    // A root is replaced for a reason: nobody goes on by an older one.
    min_root: root.version,
    ctr,
    ...(root.policy.cb === 'required' && cb !== null ? { cb } : {}),
  };
  return signToken('lk-welcome+jws', payload, key);
}

/** The highest that both speak. */
const versionFor = ({ vmax }: Pick<Hello, 'vmax'>): number => Math.min(WIRE_VERSION, vmax);
