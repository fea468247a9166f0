// The wire's version: one integer, raised when a peer that does not know the change would misread a message.
// 1  2026-11  first version: enrol, hello, welcome, ready, command, receipt, ack.

/** The version spoken by this program. */
export const WIRE_VERSION = 1;
/** The oldest version this program still understands. */
export const WIRE_VERSION_MIN = 1;
