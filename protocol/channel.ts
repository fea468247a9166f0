// Channel binding: a value that only the two ends of one TLS session can compute (RFC 9266, tls-exporter). Whoever ends
// TLS between them has two sessions, and so two values.

import { toBase64url } from './keys.ts';

/** RFC 9266, section 2: the exporter's label and the value's length in bytes; its context is empty. */
const LABEL = 'EXPORTER-Channel-Binding';
const BYTES = 32;

/** A TLS connection, as far as it matters here; a plain one has no exporter (RFC 8446, section 7.5). */
export type Exporter = Readonly<{
  exportKeyingMaterial?(length: number, label: string, context: Uint8Array): Uint8Array;
}>;

/** The connection's own value, or `null` where it has no TLS. */
export function channelBinding(connection: Exporter): string | null {
  if (!connection.exportKeyingMaterial) return null;
  return toBase64url(connection.exportKeyingMaterial(BYTES, LABEL, new Uint8Array(0)));
}
