// What the gateway checks of a machine: who it is at the door, that it is the only one of it, and that what it signed is about
// what it was asked.

import { change, drop, type Mutation } from './mutation.ts';

const HANDSHAKE = 'control-plane/gateway/handshake.ts';
const GATEWAY = 'control-plane/gateway/gateway.ts';
const ENROLMENT = 'control-plane/gateway/enrolment.ts';
const INTAKE = 'control-plane/gateway/intake.ts';
const RECEIVE = 'control-plane/core/receive.ts';
const COUNTER = 'control-plane/core/enrolment.ts';
const SOCKET = 'control-plane/gateway/agent-socket.ts';
const DOOR = 'control-plane/gateway/endpoint.ts';

const doorSteps: readonly Mutation[] = [
  drop(
    'door: one path',
    DOOR,
    "if (request.url?.split('?', 1)[0] !== AGENT_PATH) return turnAway(duplex, '404 Not Found');",
  ),
  change('door: no page of a browser', DOOR, 'request.headers.origin !== undefined || ', ''),
  change('door: no cookie', DOOR, ' || request.headers.cookie !== undefined', ''),
  change('door: strangers at a time', DOOR, 'this.#all >= this.#limits.handshakesMax || ', ''),
  change('door: strangers of one client', DOOR, ' || own >= this.#limits.handshakesPerClientMax', ''),
  change('door: failures of a client', DOOR, 'failures.tooMany(client) || ', ''),
  change('frame: size', DOOR, 'maxPayload: FRAME_BYTES_MAX', 'maxPayload: 16 * FRAME_BYTES_MAX'),
  drop('frame: text alone', SOCKET, "if (isBinary) throw new Failure('TOKEN_MALFORMED', { reason: 'binary' });"),
  drop(
    'hello: of this machine',
    HANDSHAKE,
    "if (hello.agent !== vm.agent) throw new Failure('AUD_MISMATCH', { vm: vm.id });",
  ),
  drop(
    'hello: to this challenge',
    HANDSHAKE,
    "if (hello.sn !== sn) throw new Failure('NONCE_UNKNOWN', { vm: vm.id, reason: 'sn' });",
  ),
  drop(
    'hello: a version that is spoken',
    HANDSHAKE,
    "throw new Failure('VERSION_UNSUPPORTED', { vm: vm.id, vmin: hello.vmin, vmax: hello.vmax });",
  ),
  drop('hello: the same TLS session', HANDSHAKE, 'await demandBinding(parts, socket, vm, hello);'),
  drop(
    'hello: a nonce that is new',
    HANDSHAKE,
    "if (!(await rememberNonce(trx, hello.an, at))) return new Failure('NONCE_UNKNOWN', { vm: vm.id, reason: 'an' });",
  ),
  drop(
    'hello: of an identity that is not held',
    HANDSHAKE,
    "if (vm.quarantine) return new Failure('AGENT_QUARANTINED', { vm: vm.id, reason: vm.quarantine.code });",
  ),
  change('hello: a counter that did not go back', COUNTER, "if (said < stored) return 'rolled_back';", ''),
  change(
    'hello: a journal that did not go back',
    HANDSHAKE,
    "counter === 'rolled_back' || older",
    "counter === 'rolled_back'",
  ),
  change(
    'hello: an identity that is held loses its session',
    HANDSHAKE,
    "if (refusal.code === 'STATE_ROLLED_BACK') switchboard.of(known.id)?.socket.refuse();",
    '',
  ),
  drop(
    'welcome: counted by its own answer',
    HANDSHAKE,
    "throw new Failure('SCHEMA_INVALID', { vm: vm.id, field: 'hello_ok' });",
  ),
  drop(
    'welcome: of an identity that was held meanwhile',
    HANDSHAKE,
    "if (vm.quarantine) return new Failure('AGENT_QUARANTINED', { vm: id, reason: vm.quarantine.code });",
  ),
  drop(
    'welcome: its counter never goes back',
    HANDSHAKE,
    "if (vm.ctr > ctr) return new Failure('NONCE_UNKNOWN', { vm: id, reason: 'ctr' });",
  ),
  change('welcome: one connection a counter', HANDSHAKE, 'if (vm.ctr === ctr) {', 'if (false) {'),
  drop('identity: one connection', HANDSHAKE, 'await endOlder(parts, switchboard, vm);'),
  change(
    'identity: an older connection that answers',
    HANDSHAKE,
    'if (!(await older.socket.answers(STILL_ALIVE_MS))) return older.socket.terminate();',
    'return older.socket.terminate();',
  ),
  change(
    'identity: an older connection that is dead',
    HANDSHAKE,
    'if (!(await older.socket.answers(STILL_ALIVE_MS))) return older.socket.terminate();',
    '',
  ),
  change(
    'identity: two at the same moment',
    GATEWAY,
    'const twinsHere = older?.socket.open ?? false;',
    'const twinsHere = false;',
  ),
];

const enrolmentSteps: readonly Mutation[] = [
  change('enrolment: to this challenge', ENROLMENT, 'request.sn !== sn || ', ''),
  change('enrolment: the executor’s key vouches for the link’s', ENROLMENT, 'vouched.ik_kid !== ikKid || ', ''),
  change('enrolment: in this very request', ENROLMENT, 'vouched.nonce !== request.nonce || ', ''),
  change('enrolment: two keys', ENROLMENT, ' || ikKid === ekKid', ''),
  drop('join token: not used up', ENROLMENT, "if (state === 'used') return 'JOIN_TOKEN_USED';"),
  drop('join token: not past its end', ENROLMENT, "if (state === 'expired') return 'JOIN_TOKEN_EXPIRED';"),
  drop(
    'join token: of a machine to come that is still awaited',
    ENROLMENT,
    'if (over) return refusal(trx, parts, token, over);',
  ),
  drop('join token: not revoked', ENROLMENT, "if (state === 'revoked') return 'JOIN_TOKEN_INVALID';"),
  change(
    'join token: for this instance',
    ENROLMENT,
    "return token.instance_sha256 === null || token.instance_sha256 === instance_sha256 ? null : 'JOIN_TOKEN_INVALID';",
    'return null;',
  ),
  change('join token: keys that have an identity cost none', ENROLMENT, ' && known.joinToken === token.id', ''),
  change(
    'enrolment: keys that have no identity',
    ENROLMENT,
    'if (!token || wrong || known) return',
    'if (!token || wrong) return',
  ),
  drop('join token: its use is taken', ENROLMENT, 'await takeUse(trx, token, vm.id, parts.nowMs());'),
];

const intakeSteps: readonly Mutation[] = [
  change('ready: of this machine', INTAKE, 'ready.agent !== session.vm.agent || ', ''),
  change('ready: for the operation that it is said for', INTAKE, ' || ready.op !== said)', ')'),
  drop('ready: a nonce that is new', INTAKE, "return this.#alarm(trx, session, { reason: 'nonce_repeated', op });"),
  change('ready: that was asked for', INTAKE, ' || session.asked?.op !== op', ''),
  drop('ready: of an operation that is not held yet', INTAKE, 'if (operation.chain !== null) return;'),
  change('receipt: of this machine’s operation', INTAKE, 'if (operation.vm !== session.vm.id) {', 'if (false) {'),
  change(
    'refused: of this machine’s operation',
    INTAKE,
    'if (operation?.vm !== session.vm.id || isEnd(operation.state)) return;\n      const at = this.#parts.nowMs();\n      // Unsigned',
    'if (!operation || isEnd(operation.state)) return;\n      const at = this.#parts.nowMs();\n      // Unsigned',
  ),
  drop(
    'receipt: of this agent',
    RECEIVE,
    "if (receipt.agent !== operation.agent) return { verdict: 'refused', reason: 'agent' };",
  ),
  change(
    'receipt: not another one under a number',
    RECEIVE,
    "return storedSha256 === sha256 ? { verdict: 'duplicate' } : { verdict: 'refused', reason: 'fork' };",
    "return { verdict: 'duplicate' };",
  ),
  drop(
    'receipt: of a command that was sent',
    RECEIVE,
    "if (operation.command === null) return { verdict: 'refused', reason: 'never_sent' };",
  ),
  drop(
    'receipt: none left out',
    RECEIVE,
    "if (receipt.n !== (operation.chain?.n ?? 0) + 1) return { verdict: 'refused', reason: 'gap' };",
  ),
  drop(
    'receipt: in this chain',
    RECEIVE,
    "if (receipt.prev !== (operation.chain?.sha256 ?? RECEIPT_GENESIS)) return { verdict: 'refused', reason: 'fork' };",
  ),
  drop(
    'receipt: not without end',
    RECEIVE,
    "if (receipt.n > RECEIPTS_MAX) return { verdict: 'refused', reason: 'too_many' };",
  ),
  drop(
    'receipt: about that command',
    RECEIVE,
    "if (!isAbout(operation, receipt)) return { verdict: 'refused', reason: 'command' };",
  ),
  change('receipt: another command by a refusal of this nonce alone', RECEIVE, ' && receipt.cn === command?.cn', ''),
];

export const gatewaySteps: readonly Mutation[] = [...doorSteps, ...enrolmentSteps, ...intakeSteps];
