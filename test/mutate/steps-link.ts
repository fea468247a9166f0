// What a link checks of the control plane before it believes it, and of a command before it hands it over.

import { change, drop, type Mutation } from './mutation.ts';

const HANDSHAKE = 'agent/link/handshake.ts';
const LINK = 'agent/link/link.ts';
const DESK = 'agent/link/executor-desk.ts';
const ENROL = 'agent/link/enrol.ts';
const JOIN_TOKEN = 'agent/link/join-token.ts';
const SOCKET = 'agent/link/socket.ts';

export const linkSteps: readonly Mutation[] = [
  // The transport.
  change('TLS: the pinned authority', SOCKET, 'rejectUnauthorized: true', 'rejectUnauthorized: false'),
  change('TLS: 1.3 at least', SOCKET, "minVersion: 'TLSv1.3'", "minVersion: 'TLSv1.2'"),
  change('socket: no redirect', SOCKET, 'followRedirects: false', 'followRedirects: true'),
  change('socket: size of a frame', SOCKET, 'maxPayload: FRAME_BYTES_MAX', 'maxPayload: 16 * FRAME_BYTES_MAX'),
  drop('socket: text alone', SOCKET, "if (isBinary) throw new Failure('TOKEN_MALFORMED', { reason: 'binary' });"),
  drop(
    'socket: frames that wait',
    SOCKET,
    "if (this.#frames.length >= FRAMES_MAX) throw new Failure('RATE_LIMITED', { reason: 'frames' });",
  ),
  // The welcome.
  drop(
    'roots: as many as one handshake brings',
    HANDSHAKE,
    "if (hops === ROOT_HOPS_MAX) throw new Failure('ROOT_INVALID', { reason: 'hops' });",
  ),
  drop('welcome: a key not past its end', HANDSHAKE, "roleKeys(root, 'session', welcome.now)(verified.header.kid);"),
  drop(
    'welcome: to this machine',
    HANDSHAKE,
    "if (welcome.agent !== identity.agent) throw new Failure('AUD_MISMATCH');",
  ),
  drop(
    'welcome: to this hello',
    HANDSHAKE,
    "if (welcome.an !== an) throw new Failure('NONCE_UNKNOWN', { reason: 'welcome' });",
  ),
  change('welcome: time goes on', HANDSHAKE, 'welcome.now < progress.now || ', ''),
  change('welcome: the next counter', HANDSHAKE, ' || welcome.ctr !== progress.ctr + 1', ''),
  drop(
    'welcome: no newer root that was not brought',
    HANDSHAKE,
    "throw new Failure('ROOT_ROLLBACK', { have: root.version, need: welcome.min_root });",
  ),
  change('welcome: the same TLS session', HANDSHAKE, 'cb === null || welcome.cb !== cb', 'cb === null'),
  change(
    'welcome: a TLS session at all',
    HANDSHAKE,
    'cb === null || welcome.cb !== cb',
    'welcome.cb !== (cb ?? undefined)',
  ),
  drop(
    'welcome: a version that the root allows',
    HANDSHAKE,
    "if (welcome.version < oldest || welcome.version > WIRE_VERSION) throw new Failure('VERSION_UNSUPPORTED');",
  ),
  drop(
    'welcome: soon after the hello',
    HANDSHAKE,
    "if (heardMs - askedMs > WELCOME_ROUND_TRIP_MS_MAX) throw new Failure('EXPIRED', { reason: 'welcome_round_trip' });",
  ),
  drop('welcome: stored before it counts', HANDSHAKE, 'await greeting.store({ ctr: welcome.ctr, now: welcome.now });'),
  // The identity.
  drop('enrolment: a key not past its end', ENROL, "roleKeys(root, 'session', answer.now)(header.kid);"),
  drop('enrolment: of this installation', ENROL, "if (answer.iss !== root.iss) throw new Failure('ISS_MISMATCH');"),
  drop(
    'enrolment: to this request',
    ENROL,
    "if (answer.nonce !== nonce) throw new Failure('NONCE_UNKNOWN', { reason: 'enrolled' });",
  ),
  drop(
    'enrolment: the form of a join token',
    JOIN_TOKEN,
    "if (!TOKEN.test(text)) throw invalid(source, ADDRESS.test(text) ? 'names_address' : 'form');",
  ),
  drop(
    'enrolment: no join token from the kernel’s command line',
    JOIN_TOKEN,
    'await demandNotOnCommandLine(text, source, places);',
  ),
  // Commands and acknowledgements.
  change(
    'command: times that are times',
    LINK,
    "if (typeof iat !== 'number' || typeof exp !== 'number') this.#refuse(op, 'SCHEMA_INVALID');\n    else if (nowS > exp)",
    'if (nowS > Number(exp))',
  ),
  change('command: not past its end', LINK, "else if (nowS > exp) this.#refuse(op, 'EXPIRED');\n    ", ''),
  change(
    'command: not ahead of time',
    LINK,
    "else if (iat > nowS + CLOCK_AHEAD_S) this.#refuse(op, 'NOT_YET_VALID');\n    ",
    '',
  ),
  change('command: of the operation that waits', DESK, 'if (current?.op !== op) {', 'if (!current) {'),
  drop(
    'acknowledgement: of this machine',
    LINK,
    "if (agent !== this.#parts.identity.agent) throw new Failure('AUD_MISMATCH');",
  ),
];
