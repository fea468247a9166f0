// A key program as `--command-key-program` asks for one: what a shim before a KMS would be, with its keys in a file of seeds. What
// the file says beside, it does wrong: sign with other bytes, answer nonsense, hang, or fail.

import { sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fromBase64url, signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';

type Kept = Readonly<{ seeds: readonly string[]; wrong?: 'bytes' | 'nonsense' | 'hang' | 'exit' }>;
type Request = Readonly<{ v: 1 } & ({ do: 'keys' } | { do: 'sign'; kid: string; purpose: string; bytes: string })>;

const { seeds, wrong } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Kept;
const request = JSON.parse(readFileSync(0, 'utf8')) as Request;
const keys = await Promise.all(seeds.map((seed) => signingKeyFromSeed(fromBase64url(seed))));
const { KeyObject } = process.getBuiltinModule('node:crypto');

if (request.do === 'keys') say({ v: 1, keys: keys.map(({ jwk }) => jwk) });
else if (wrong === 'exit') process.exitCode = 3;
else if (wrong === 'nonsense') process.stdout.write('what?\n');
else if (wrong === 'hang') setInterval(() => undefined, 60_000);
else {
  const key = keys.find(({ kid }) => kid === request.kid);
  const bytes = Uint8Array.from([...fromBase64url(request.bytes), ...(wrong === 'bytes' ? [0] : [])]);
  if (key) say({ v: 1, sig: toBase64url(sign(null, bytes, KeyObject.from(key.privateKey))) });
  else process.exitCode = 1;
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
