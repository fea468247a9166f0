// The next root as a document that gathers signatures: drafted where the current root is known, signed where the offline keys
// are, published where the control plane runs. It holds nothing secret.

import * as z from 'zod/mini';
import { canonicalBytes, parseCanonical } from '../../../protocol/canonical.ts';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import { fromBase64url, type SigningKey, thumbprint, toBase64url } from '../../../protocol/keys.ts';
import {
  advanceRoot,
  type Operators,
  type RootPayload,
  rootPayload,
  type SignedRoot,
  signRoot,
} from '../../../protocol/root.ts';
import { bytes64, type Ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';

/** What the next root says otherwise than the current one. */
export type Changes = Readonly<{
  /** Seconds since 1970; of the root and of every key in it. */
  expires: number;
  rootKeys?: readonly Ed25519Jwk[];
  threshold?: number;
  command?: Ed25519Jwk;
  session?: Ed25519Jwk;
  channelBinding?: RootPayload['policy']['cb'];
  /** All of them: those that are not named may prove nothing to a machine any more. */
  operators?: Operators;
  operatorProof?: boolean;
}>;

/** As `SignedRoot`, and without a signature at first. */
const draftFile = z.strictObject({
  payload: z.string().check(z.maxLength(60_000), z.regex(/^[A-Za-z0-9_-]+$/)),
  signatures: z.array(z.strictObject({ protected: z.string(), signature: bytes64 })).check(z.maxLength(16)),
});
export type Draft = z.infer<typeof draftFile>;

/** Keys that no role names any more are gone, and with them whatever they sign. */
export async function nextRoot(current: RootPayload, changes: Changes): Promise<RootPayload> {
  const given = async (jwks: readonly Ed25519Jwk[] | undefined, role: 'root' | 'command' | 'session') =>
    jwks
      ? Promise.all(jwks.map(async (jwk) => [await thumbprint(jwk), jwk] as const))
      : current.roles[role].kids.map((kid) => [kid, current.keys[kid]?.jwk as Ed25519Jwk] as const);
  const { rootKeys, command, session, expires, operatorProof, operators = current.roles.operators } = changes;
  // Machines that demand a proof of somebody whom their root does not name obey nobody.
  const demanded = operatorProof ?? current.policy.require_operator_proof;
  if (demanded && Object.keys(operators ?? {}).length === 0) {
    throw new Failure('CONFIG_INVALID', { field: 'operators', reason: 'a proof is required and nobody is named' });
  }
  const root = await given(rootKeys, 'root');
  const commands = await given(command && [command], 'command');
  const sessions = await given(session && [session], 'session');
  const kids = (keys: readonly (readonly [string, Ed25519Jwk])[]) => keys.map(([kid]) => kid);
  const threshold = changes.threshold ?? Math.min(current.roles.root.threshold, root.length);
  if (threshold > root.length) throw new Failure('CONFIG_INVALID', { field: 'threshold', keys: root.length });
  return {
    ...current,
    version: current.version + 1,
    expires,
    keys: Object.fromEntries([...root, ...commands, ...sessions].map(([kid, jwk]) => [kid, { jwk, expires }])),
    roles: {
      root: { kids: kids(root), threshold },
      command: { kids: kids(commands), threshold: 1 },
      session: { kids: kids(sessions), threshold: 1 },
      ...(operators ? { operators } : {}),
    },
    policy: {
      ...current.policy,
      ...(changes.channelBinding ? { cb: changes.channelBinding } : {}),
      ...(operatorProof === undefined ? {} : { require_operator_proof: operatorProof }),
    },
  };
}

export function draftOf(root: RootPayload): Draft {
  return { payload: toBase64url(canonicalBytes(root)), signatures: [] };
}

/** Reads a draft, signed or not; throws `ROOT_INVALID`. */
export function readDraft(text: string): Readonly<{ draft: Draft; root: RootPayload }> {
  try {
    const draft = parseSchema(draftFile, JSON.parse(text));
    return { draft, root: parseSchema(rootPayload, parseCanonical(fromBase64url(draft.payload))) };
  } catch (cause) {
    throw new Failure('ROOT_INVALID', { reason: codeOf(cause) ?? 'syntax' }, cause);
  }
}

/** Adds the signature of one key, once. */
export async function sign({ payload, signatures }: Draft, root: RootPayload, key: SigningKey): Promise<Draft> {
  const made = await signRoot(root, [key]);
  if (made.payload !== payload) throw new Failure('ROOT_INVALID', { reason: 'NONCANONICAL' });
  const others = signatures.filter((signature) => signature.protected !== made.signatures[0]?.protected);
  return { payload, signatures: [...others, ...made.signatures] };
}

/** The next root, should the draft be complete; throws as `advanceRoot` does. */
export async function complete(current: RootPayload, draft: Draft): Promise<SignedRoot> {
  if (draft.signatures.length === 0) {
    throw new Failure('ROOT_THRESHOLD', { version: current.version + 1, need: current.roles.root.threshold, have: 0 });
  }
  await advanceRoot(current, draft);
  return draft;
}
