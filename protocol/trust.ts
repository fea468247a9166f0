// The trust file that is baked into an image: where the control plane is, which authority issued its certificate, and the
// root. It holds nothing secret.

import * as z from 'zod/mini';
import { signedRoot } from './root.ts';
import { parseSchema } from './schema.ts';

/** `wss:` only, but for the loopback address, which needs consent in agent.json as well. */
const address = z
  .string()
  .check(
    z.maxLength(300),
    z.regex(
      /^(wss:\/\/[A-Za-z0-9.:[\]_-]+|ws:\/\/(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)(\/[A-Za-z0-9._/-]*)?$/,
    ),
  );

export const trustFile = z.strictObject({
  v: z.literal(1),
  url: z.array(address).check(z.minLength(1), z.maxLength(8)),
  /** PEM of the private authority; empty for a plain connection on loopback. */
  ca_pem: z.string().check(z.maxLength(20_000)),
  root: signedRoot,
});
export type TrustFile = z.infer<typeof trustFile>;

export function parseTrust(value: unknown): TrustFile {
  return parseSchema(trustFile, value);
}
