// The wire's version: one integer, raised when a peer that does not know the change would misread a message.
// 1  2026-11  first version: enrol, hello, welcome, ready, command, receipt, ack.
// 2  2026-11  preflight, no_preflight: a link of version 1 closes on a frame that it does not know.
//               Operators in the root, passkey proofs, intents for many machines: an agent of version 1 refuses them.
//               `ready` and receipts say more of VNC servers: a gateway of version 1 refuses them.
// 3  2026-11  `initialise`, and a reset with `not_before`: an agent of an earlier version refuses them.

/** The version spoken by this program. */
export const WIRE_VERSION = 3;
/** The oldest version this program still understands. */
export const WIRE_VERSION_MIN = 1;
/** The first version in which a link can be asked for a preflight. */
export const PREFLIGHT_SINCE = 2;
/** The first version in which a command may come beside an intent that names a list of machines. */
export const LISTS_SINCE = 2;
/** The first version in which a machine can be given its first passwords, or a reset that waits for its time. */
export const INITIALISE_SINCE = 3;
