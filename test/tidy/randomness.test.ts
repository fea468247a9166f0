// Randomness that matters comes from the kernel at the moment of its use: what a long-lived process remembers of it repeats itself
// when the machine goes back to a live snapshot. So the process's own generator is used for names of temporary files, and where
// a library draws for itself; each such place is listed.

import { expect, test } from 'vitest';
import { isTypeScript, readTree } from './tree.ts';

const OWN_GENERATOR =
  /\b(?:Math\.random|randomUUID|randomInt|randomFill(?:Sync)?|getRandomValues|generateKey(?:Pair)?(?:Sync)?)\(|import \{[^}]*\brandomBytes\b[^}]*\} from 'node:crypto'/g;

const LISTED: Readonly<Record<string, string>> = {
  'agent/durable-file.ts': 'the name of a temporary file',
  'agent/enrolment/main.ts': 'when to ask again',
  'control-plane/cli/client/private-files.ts': 'the name of a temporary file',
  'control-plane/cli/trust.ts': 'the name of a temporary file',
  'control-plane/config/certificates.ts': 'the platform makes keys for TLS',
};

const uses = (text: string) => [...text.replace(/^\s*\*.*$|\/\/.*$/gm, '').matchAll(OWN_GENERATOR)].length;

test('only what is listed draws from the process’s own generator', () => {
  const product = readTree().filter(
    (file) => isTypeScript(file) && /^(protocol|agent|control-plane)\//.test(file.path),
  );
  const found = product.filter(({ text }) => uses(text) > 0).map(({ path }) => path);
  expect(found).toEqual(Object.keys(LISTED));
});

test('such a draw is seen where it is', () => {
  for (const line of [
    "import { createHash, randomBytes } from 'node:crypto';",
    'const id = crypto.randomUUID();',
    'crypto.getRandomValues(bytes)',
    'generateKeyPairSync("ed25519")',
    'Math.random()',
  ])
    expect(uses(line)).toBe(1);
  expect(uses('const nonce = parts.randomBytes(32); // randomUUID()\n// randomUUID()')).toBe(0);
});
