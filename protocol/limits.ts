// Every bound on size, count and time that both programs share. Names end in their unit; all are inclusive maxima
// unless they say otherwise. WIRE.md repeats them, and a test compares the two.

/** Largest WebSocket message, in bytes (RFC 6455 close code 1009 beyond it). */
export const FRAME_BYTES_MAX = 65_536;
/** Largest compact token, in ASCII bytes: a command with its intent and two sealed secrets fits in it. */
export const TOKEN_BYTES_MAX = 16_384;
/** Most machines that one intent may name. */
export const TARGETS_MAX = 500;
/** Largest intent for many machines, in characters of its base64url: it comes beside the command, which names its hash. */
export const INTENT_TEXT_MAX = 24_576;
/** Most keys, and most passkeys, that the root may name for one operator. */
export const OPERATOR_KEYS_MAX = 16;
/** Largest receipt token, in ASCII bytes. */
export const RECEIPT_BYTES_MAX = 4_096;
/** Largest sealed secret (compact JWE), in ASCII bytes. */
export const SEALED_BYTES_MAX = 1_024;
/** Largest root document, in bytes of its JSON. */
export const ROOT_BYTES_MAX = 32_768;
/** Versions of the root that a link takes in one handshake; the rest come with the next ones. */
export const ROOT_HOPS_MAX = 32;
/** Deepest nesting of objects and arrays in a payload. */
export const JSON_DEPTH_MAX = 6;

/** An operation's one-use nonce and sealing key live this long in the executor's memory. */
export const READY_TTL_S = 600;
/** Longest validity of a command, from `iat` to `exp`. */
export const COMMAND_TTL_S = 120;
/** How far a command's `iat` may lie ahead of the server time that the agent learned. */
export const CLOCK_AHEAD_S = 30;
/** An intent lives this long by default, and 24 hours at most. */
export const INTENT_TTL_S = 900;
export const INTENT_TTL_S_MAX = 86_400;
/** Longest grace period before a reset changes anything. */
export const GRACE_S_MAX = 86_400;

/** Handshake: from the socket's opening to `hello_ok`. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** The link sends a heartbeat this often; a peer silent for three of them is gone. */
export const HEARTBEAT_INTERVAL_MS = 30_000;
export const SILENCE_MS_MAX = 90_000;
/** A welcome whose round trip took longer does not set the clock: connect again. */
export const WELCOME_ROUND_TRIP_MS_MAX = 10_000;
/** Reconnect back-off with full jitter, between these two. */
export const RECONNECT_MS_MIN = 1_000;
export const RECONNECT_MS_MAX = 60_000;
/** Receipts that may be on their way, unacknowledged, in one go. */
export const RECEIPTS_PER_SEND_MAX = 8;

/** Passwords, in bytes of printable ASCII. */
export const PASSWORD_BYTES_MIN = 8;
export const PASSWORD_BYTES_MAX = 30;
/** Generated account passwords: 24 characters of an alphabet of 62, about 143 bits. */
export const PASSWORD_GENERATED_LENGTH = 24;
/** VncAuth reads 8 bytes and no more (RFC 6143, section 7.2.2). */
export const VNCAUTH_BYTES = 8;

/** A server that was up before is given this long to come back after the reboot. */
export const VNC_AFTER_BOOT_MS_MAX = 60_000;
/** A server that was restarted is given this long to answer. */
export const VNC_RESTART_MS_MAX = 20_000;
/** `passwd` is ended after this long: the account database is held by someone else. */
export const PASSWD_TIMEOUT_MS = 20_000;
/** A reboot that was asked for and did not happen is asked for again this often in all. */
export const REBOOT_REQUESTS_MAX = 3;
