// Roots, by which all else is judged: what makes one, and what makes it the next one.

import { change, drop, type Mutation } from './mutation.ts';

const ROOT = 'protocol/root.ts';
const SHELF = 'agent/root-shelf.ts';

export const rootSteps: readonly Mutation[] = [
  drop(
    'root: size',
    ROOT,
    "if (JSON.stringify(document)?.length > ROOT_BYTES_MAX) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });",
  ),
  drop(
    'root: headers of its signatures',
    ROOT,
    "for (const signature of signed.signatures) checkHeader(fromBase64url(signature.protected), 'lk-root+jws');",
  ),
  drop(
    'root: ids that are thumbprints',
    ROOT,
    "if ((await thumbprint(jwk)) !== kid) throw new Failure('SCHEMA_INVALID', { field: 'keys', reason: 'thumbprint' });",
  ),
  drop(
    'root: no key in two roles',
    ROOT,
    "if (new Set(all).size !== all.length) throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'shared_key' });",
  ),
  drop(
    'root: roles of keys that are there',
    ROOT,
    "if (named.some((kid) => !Object.hasOwn(root.keys, kid)))\n    throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'key_missing' });",
  ),
  drop(
    'root: a threshold that can be met',
    ROOT,
    "if (threshold > kids.length) throw new Failure('SCHEMA_INVALID', { field: 'roles', reason: 'threshold' });",
  ),
  change(
    'root: each key counts once',
    ROOT,
    'if (!key || valid.has(kid)) continue;\n    if (await holds(signed, signature, key.jwk)) valid.add(kid);',
    'if (!key) continue;\n    if (await holds(signed, signature, key.jwk)) valid.add(crypto.randomUUID());',
  ),
  change(
    'root: signatures that hold',
    ROOT,
    'if (await holds(signed, signature, key.jwk)) valid.add(kid);',
    'valid.add(kid);',
  ),
  change(
    'root: keys of the root role alone',
    ROOT,
    'const key = kids.includes(kid) ? authority.keys[kid] : undefined;',
    'const key = authority.keys[kid];',
  ),
  change('root: the threshold', ROOT, 'if (valid.size < threshold)', 'if (valid.size < 1)'),
  change(
    'root: the first one’s own threshold',
    ROOT,
    '  const { signed, root } = await readRoot(document);\n  await demandThreshold(signed, root, root);\n  return root;',
    '  const { root } = await readRoot(document);\n  return root;',
  ),
  change(
    'root: none that does not follow is passed over',
    SHELF,
    'root = await advanceRoot(root, document);',
    'root = await advanceRoot(root, document).catch(() => root);',
  ),
  drop(
    'root: the next version alone',
    ROOT,
    "throw new Failure('ROOT_ROLLBACK', { have: current.version, offered: root.version });",
  ),
  drop('root: of the same installation', ROOT, "if (root.iss !== current.iss) throw new Failure('ISS_MISMATCH');"),
  drop('root: the threshold of the old one', ROOT, '  await demandThreshold(signed, root, current);\n'),
  change(
    'root: the threshold of the new one',
    ROOT,
    '(signed, root, current);\n  await demandThreshold(signed, root, root);\n',
    '(signed, root, current);\n',
  ),
];
