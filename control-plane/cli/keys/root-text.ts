// A root in words, for people who are about to sign or publish it.

import { parseCanonical } from '../../../protocol/canonical.ts';
import { fromBase64url } from '../../../protocol/keys.ts';
import type { RootPayload, SignedRoot } from '../../../protocol/root.ts';
import { fields } from '../view/text.ts';
import { fingerprintOf } from './fingerprint.ts';

export function describeRoot(root: RootPayload, { payload, signatures }: SignedRoot): string {
  const { roles } = root;
  const signers = signatures.map(({ protected: header }) => signerOf(header));
  const rootKeys = roles.root.kids.map((kid) => (signers.includes(kid) ? `${kid} (signed)` : kid));
  const others = signers.filter((kid) => !roles.root.kids.includes(kid)).map((kid) => `${kid} (of an earlier root)`);
  return fields([
    ['installation', root.iss],
    ['version', String(root.version)],
    ['fingerprint', fingerprintOf({ payload })],
    ['expires', new Date(root.expires * 1000).toISOString()],
    ['root', `${roles.root.threshold} of ${roles.root.kids.length}`],
    ...rootKeys.map((line) => ['', line] as const),
    ['command key', roles.command.kids.join(' ')],
    ['session key', roles.session.kids.join(' ')],
    ['channel binding', root.policy.cb],
    ['operator proof', root.policy.require_operator_proof ? 'required' : 'off'],
    ['operators', Object.keys(roles.operators ?? {}).join(' ') || 'none'],
    ['also signed by', others.join(' ') || 'nobody'],
  ]);
}

function signerOf(header: string): string {
  try {
    const { kid } = parseCanonical(fromBase64url(header)) as { kid?: unknown };
    return String(kid);
  } catch {
    return 'somebody unreadable';
  }
}
