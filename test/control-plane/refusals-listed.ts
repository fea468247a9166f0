// Whether a refusal is one that the API's contract lists for its request: every test that asks the server asks this, too.

import { codesOf, entryOf, requests } from '../../control-plane/api/contract.ts';

const patterns = requests.map((request) => {
  const [method = '', url = ''] = request.split(' ');
  return { method, url, pattern: new RegExp(`^${url.replaceAll(/:\w+/g, '[^/?]+')}(\\?.*)?$`) };
});

/** Throws where it is not; requests that are none of the contract's are let be. */
export function demandListed(method: string, path: string, code: string): void {
  const known = patterns.find((one) => one.method === method && one.pattern.test(path));
  if (!known) return;
  const listed: readonly string[] = codesOf(entryOf(known.method, known.url));
  if (!listed.includes(code)) throw new Error(`${method} ${path} answers ${code}, which its contract does not list`);
}
