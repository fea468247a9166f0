// Who a connection is from. A proxy's word counts only where its address was configured as one; anybody else's is not even read.

import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Addresses of proxies. */
export class Proxies {
  readonly #list = new BlockList();
  readonly any: boolean;

  /** Throws where one of them is neither an address nor a network. */
  constructor(places: readonly string[]) {
    this.any = places.length > 0;
    for (const place of places) this.#add(place);
  }

  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  }

  #add(place: string): void {
    const [, address = '', bits] = /^([0-9A-Fa-f.:]+)(?:\/([0-9]{1,3}))?$/.exec(place) ?? [];
    const version = isIP(address);
    const width = version === 4 ? 32 : 128;
    if (version === 0 || Number(bits ?? width) > width) throw new RangeError('address or network');
    this.#list.addSubnet(address, Number(bits ?? width), version === 4 ? 'ipv4' : 'ipv6');
  }
}

/**
 * The address that the nearest configured proxy saw: `X-Forwarded-For` read from its end, past addresses of our own proxies. What
 * stands before that was written by a client.
 */
export function forwardedAddress(
  { headers }: Pick<IncomingMessage, 'headers'>,
  peer: string,
  proxies: Proxies,
): string {
  let address = peer;
  const said = [headers['x-forwarded-for']].flat().join(',').split(',');
  for (let at = said.length - 1; at >= 0 && proxies.has(address); at -= 1) {
    const next = said[at]?.trim() ?? '';
    if (isIP(next) === 0) break;
    address = next;
  }
  return address;
}

/** What is counted as one client: an address of IPv4, a /64 of IPv6, which is what one host is given (RFC 6177). */
export function clientOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  const groups = [...left, ...zeros, ...right].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
