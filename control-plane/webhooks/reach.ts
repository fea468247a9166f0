// Which addresses a webhook may be sent to. Whoever registers one chooses a URL that this program then connects to, from
// inside its network: so it is the public Internet alone, by TLS, unless the host's configuration names other networks.

import ipaddr from 'ipaddr.js';
import { isLoopback } from '../config/checks.ts';

/** As configured: an address and the length of its prefix. */
export type Network = readonly [address: string, bits: number];

type UrlFault = 'url' | 'credentials' | 'https' | 'address';

const bare = (host: string) => host.replace(/^\[|\]$/g, '');

/** Addresses of the machine itself, of private networks and of every other special use are not public. */
export function mayReach(address: string, allowed: readonly Network[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() === 'unicast') return true;
  return allowed.some(([network, bits]) => {
    const range = ipaddr.parse(network);
    return range.kind() === parsed.kind() && parsed.match(range, bits);
  });
}

/** What is wrong with it before any name is looked up; `null` where nothing is. */
export function urlFault(text: string, allowed: readonly Network[]): UrlFault | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.hash !== '') return 'url';
  if (url.username !== '' || url.password !== '') return 'credentials';
  const host = bare(url.hostname);
  // In clear to this machine alone, and only where that may be reached at all.
  if (url.protocol === 'http:') return isLoopback(host) && mayReach(loopbackOf(host), allowed) ? null : 'https';
  if (url.protocol !== 'https:') return 'url';
  const address = host === 'localhost' || ipaddr.isValid(host);
  return address && !mayReach(loopbackOf(host), allowed) ? 'address' : null;
}

const loopbackOf = (host: string) => (host === 'localhost' ? '127.0.0.1' : host);

/** Throws `TypeError` where the text is none. */
export function parseNetwork(text: string): Network {
  const [range, bits] = ipaddr.parseCIDR(text);
  return [range.toString(), bits];
}
