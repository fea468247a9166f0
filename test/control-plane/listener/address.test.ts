// Whose address a request is counted to: only what a configured proxy wrote is read, and one host of IPv6 is one client.

import { describe, expect, test } from 'vitest';
import { clientOf, forwardedAddress, Proxies } from '../../../control-plane/listener/address.ts';

const proxies = new Proxies(['10.0.0.0/8', '127.0.0.1', '2001:db8:1::/48']);
const asked = (header: string | undefined) => ({ headers: header === undefined ? {} : { 'x-forwarded-for': header } });

describe('the address of a request', () => {
  test.each<[string, string | undefined, string, string]>([
    ['from anybody, whatever it claims', '198.51.100.7', '203.0.113.9', '203.0.113.9'],
    ['through a proxy', '198.51.100.7', '127.0.0.1', '198.51.100.7'],
    ['through a proxy, with a lie before', '192.0.2.1, 198.51.100.7', '127.0.0.1', '198.51.100.7'],
    ['through two proxies', '192.0.2.1, 198.51.100.7, 10.1.2.3', '127.0.0.1', '198.51.100.7'],
    ['of a proxy itself', undefined, '127.0.0.1', '127.0.0.1'],
    ['through a proxy that wrote no address', '198.51.100.7, unknown', '127.0.0.1', '127.0.0.1'],
    ['through a proxy at a mapped address', '198.51.100.7', '::ffff:127.0.0.1', '198.51.100.7'],
    ['through a proxy of IPv6', '2001:db8:2::1', '2001:db8:1::5', '2001:db8:2::1'],
  ])('%s', (_, header, peer, address) => {
    expect(forwardedAddress(asked(header), peer, proxies)).toBe(address);
  });

  test('is the peer’s where no proxy was configured', () => {
    expect(forwardedAddress(asked('198.51.100.7'), '127.0.0.1', new Proxies([]))).toBe('127.0.0.1');
  });
});

test.each(['', 'proxy.example', '10.0.0.0/33', '::1/129', '10.0.0.1/', '1.2.3', '*'])('“%s” is no proxy', (place) => {
  expect(() => new Proxies([place])).toThrow(RangeError);
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:0:1::5', '2001:db8:0:1::/64'],
  ['2001:0db8:0000:0001:aaaa:bbbb:cccc:dddd', '2001:db8:0:1::/64'],
  ['2001:db8::', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['', ''],
])('“%s” is counted as %s', (address, client) => {
  expect(clientOf(address)).toBe(client);
});
