// The root of trust: which keys may sign what, under a threshold, with an end. It is baked into images and holds public
// keys only. The model is The Update Framework's root role (theupdateframework.github.io/specification, section 5.3).

import { FlattenedSign, flattenedVerify } from 'jose';
import * as z from 'zod/mini';
import { canonicalBytes, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { fromBase64url, passkeyThumbprint, publicKey, type SigningKey, thumbprint, toBase64url } from './keys.ts';
import { OPERATOR_KEYS_MAX, ROOT_BYTES_MAX } from './limits.ts';
import {
  bytes32,
  bytes64,
  counter,
  type Ed25519Jwk,
  ed25519Jwk,
  installationId,
  operatorName,
  parseSchema,
  seconds,
} from './schema.ts';
import { checkHeader, type KeyLookup } from './token.ts';

const role = z.strictObject({
  kids: z.array(bytes32).check(z.maxLength(16)),
  threshold: z.int().check(z.gte(1), z.lte(16)),
});

/** A passkey as machines know it: its public point on P-256, and the place where alone it answers. */
export const passkey = z.strictObject({
  x: bytes32,
  y: bytes32,
  rp_id: z.string().check(z.maxLength(253), z.regex(/^[a-z0-9.-]+$/)),
  origin: z.string().check(z.maxLength(300), z.regex(/^https?:\/\/[a-z0-9.-]+(:[0-9]{1,5})?$/)),
});

/** What one operator may prove an intent with where machines check that themselves. */
const operatorKeys = z.strictObject({
  keys: z.array(ed25519Jwk).check(z.maxLength(OPERATOR_KEYS_MAX)),
  passkeys: z.array(passkey).check(z.maxLength(OPERATOR_KEYS_MAX)),
});

export const operators = z.record(operatorName, operatorKeys);
export type OperatorKeys = z.infer<typeof operatorKeys>;
export type Operators = z.infer<typeof operators>;

export const rootPayload = z.strictObject({
  v: z.literal(1),
  /** The installation whose commands are obeyed: a command's `iss`. */
  iss: installationId,
  version: z.int().check(z.gte(1)),
  expires: seconds,
  keys: z.record(bytes32, z.strictObject({ jwk: ed25519Jwk, expires: seconds })),
  roles: z.strictObject({ root: role, command: role, session: role, operators: z.optional(operators) }),
  policy: z.strictObject({
    /** Oldest wire version that agents of this installation speak. */
    min_v: counter,
    /** TLS channel binding of the connection. */
    cb: z.enum(['off', 'required']),
    /** Whether agents demand an operator's proof that they can verify themselves. */
    require_operator_proof: z.boolean(),
  }),
});
export type RootPayload = z.infer<typeof rootPayload>;
export type RoleName = 'root' | 'command' | 'session';
const ROLES: readonly RoleName[] = ['root', 'command', 'session'];

/** JWS General JSON serialisation (RFC 7515, section 7.2.1) without unprotected headers. */
export const signedRoot = z.strictObject({
  payload: z.string().check(z.regex(/^[A-Za-z0-9_-]+$/)),
  signatures: z
    .array(
      z.strictObject({
        protected: z.string().check(z.regex(/^[A-Za-z0-9_-]{1,400}$/)),
        signature: bytes64,
      }),
    )
    .check(z.minLength(1), z.maxLength(16)),
});
export type SignedRoot = z.infer<typeof signedRoot>;

/**
 * The first root that a machine trusts because it was put there with the agent: it must meet its own threshold.
 * Throws `ROOT_INVALID`, `ROOT_THRESHOLD`.
 */
export async function openRoot(document: unknown): Promise<RootPayload> {
  const { signed, root } = await readRoot(document);
  await demandThreshold(signed, root, root);
  return root;
}

/**
 * The next root after `current`: exactly one version on, of the same installation, and signed by the threshold of both
 * versions over unique keys. Throws `ROOT_ROLLBACK`, `ROOT_THRESHOLD`, `ROOT_INVALID`, `ISS_MISMATCH`.
 */
export async function advanceRoot(current: RootPayload, document: unknown): Promise<RootPayload> {
  const { signed, root } = await readRoot(document);
  if (root.iss !== current.iss) throw new Failure('ISS_MISMATCH');
  if (root.version !== current.version + 1) {
    throw new Failure('ROOT_ROLLBACK', { have: current.version, offered: root.version });
  }
  await demandThreshold(signed, root, current);
  await demandThreshold(signed, root, root);
  return root;
}

/** Whether a root still lets commands through at that server time. */
export function assertRootValid(root: RootPayload, nowS: number): void {
  if (nowS > root.expires) throw new Failure('ROOT_EXPIRED', { version: root.version });
}

/**
 * The keys of one role at a server time. `nowS: null` leaves their ends unchecked: for a welcome, from which the time is
 * only learned.
 */
export function roleKeys(root: RootPayload, name: RoleName, nowS: number | null): KeyLookup {
  return (kid) => {
    const key = root.roles[name].kids.includes(kid) ? root.keys[kid] : undefined;
    if (!key) throw new Failure('KID_UNKNOWN', { role: name, kid: kid.slice(0, 8) });
    if (nowS !== null && nowS > key.expires) throw new Failure('KEY_EXPIRED', { role: name, kid: kid.slice(0, 8) });
    return key.jwk;
  };
}

export async function signRoot(root: RootPayload, keys: readonly SigningKey[]): Promise<SignedRoot> {
  const bytes = canonicalBytes(root);
  const signatures = await Promise.all(
    keys.map(async (key) => {
      const jws = await new FlattenedSign(bytes)
        .setProtectedHeader({ alg: 'Ed25519', kid: key.kid, typ: 'lk-root+jws' })
        .sign(key.privateKey);
      return { protected: jws.protected ?? '', signature: jws.signature };
    }),
  );
  return { payload: toBase64url(bytes), signatures };
}

async function readRoot(document: unknown): Promise<{ signed: SignedRoot; root: RootPayload }> {
  try {
    if (JSON.stringify(document)?.length > ROOT_BYTES_MAX) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });
    const signed = parseSchema(signedRoot, document);
    const root = parseSchema(rootPayload, parseCanonical(fromBase64url(signed.payload)));
    for (const signature of signed.signatures) checkHeader(fromBase64url(signature.protected), 'lk-root+jws');
    await demandConsistent(root);
    return { signed, root };
  } catch (cause) {
    if (cause instanceof Failure) throw new Failure('ROOT_INVALID', { ...cause.details, because: cause.code }, cause);
    throw cause;
  }
}

/** What that operator's proofs are checked with; `null` for one whom the root does not name. */
export function operatorKeysOf({ roles }: RootPayload, operator: string): OperatorKeys | null {
  const known = roles.operators ?? {};
  return Object.hasOwn(known, operator) ? (known[operator] ?? null) : null;
}

/** Ids are thumbprints, roles name existing keys once, and no key serves two roles, nor two operators. */
async function demandConsistent(root: RootPayload): Promise<void> {
  for (const [kid, { jwk }] of Object.entries(root.keys)) {
    if ((await thumbprint(jwk)) !== kid) throw new Failure('SCHEMA_INVALID', { field: 'keys', reason: 'thumbprint' });
  }
  const named = ROLES.flatMap((name) => root.roles[name].kids);
  const ofOperators = await Promise.all(Object.values(root.roles.operators ?? {}).flatMap(kidsOf));
  const all = [...named, ...ofOperators];
  if (new Set(all).size !== all.length) throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'shared_key' });
  if (named.some((kid) => !Object.hasOwn(root.keys, kid)))
    throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'key_missing' });
  for (const name of ROLES) {
    const { kids, threshold } = root.roles[name];
    if (threshold > kids.length) throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'threshold' });
  }
}

function kidsOf({ keys, passkeys }: OperatorKeys): Promise<string>[] {
  return [...keys.map(thumbprint), ...passkeys.map(passkeyThumbprint)];
}

/** Counts the unique keys of `authority`'s root role whose signature over the document holds. */
async function demandThreshold(signed: SignedRoot, root: RootPayload, authority: RootPayload): Promise<void> {
  const { kids, threshold } = authority.roles.root;
  const valid = new Set<string>();
  for (const signature of signed.signatures) {
    const { kid } = checkHeader(fromBase64url(signature.protected), 'lk-root+jws');
    const key = kids.includes(kid) ? authority.keys[kid] : undefined;
    if (!key || valid.has(kid)) continue;
    if (await holds(signed, signature, key.jwk)) valid.add(kid);
  }
  if (valid.size < threshold)
    throw new Failure('ROOT_THRESHOLD', { version: root.version, need: threshold, have: valid.size });
}

/** Whether a signature over the document was made by that key. A key that the platform cannot use made none. */
async function holds(
  signed: SignedRoot,
  signature: SignedRoot['signatures'][number],
  jwk: Ed25519Jwk,
): Promise<boolean> {
  try {
    await flattenedVerify({ ...signature, payload: signed.payload }, await publicKey(jwk), { algorithms: ['Ed25519'] });
    return true;
  } catch {
    return false;
  }
}
