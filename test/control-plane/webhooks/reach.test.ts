// Where a webhook may go: the public Internet by TLS, and nowhere else unless the host's configuration names it.

import { describe, expect, test } from 'vitest';
import { readWebhookOptions } from '../../../control-plane/config/webhooks.ts';
import { mayReach, parseNetwork, urlFault } from '../../../control-plane/webhooks/reach.ts';

const inside = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '169.254.169.254',
  '192.0.0.8',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::127.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001::1',
  '2001:db8::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  '100::1',
];

describe('an address', () => {
  test.each(inside)('%s is not reached', (address) => expect(mayReach(address, [])).toBe(false));
  test.each(['8.8.8.8', '172.32.0.1', '11.0.0.1', '2606:4700::1111', '2a00:1450::1'])('%s is', (address) =>
    expect(mayReach(address, [])).toBe(true),
  );
  test('of a network that the host names is, and its neighbour is not', () => {
    const allowed = [parseNetwork('10.8.0.0/16'), parseNetwork('fd00:1::/64')];
    for (const address of ['10.8.255.1', 'fd00:1::9']) expect(mayReach(address, allowed), address).toBe(true);
    for (const address of ['10.9.0.1', 'fd00:2::9', '::ffff:10.8.0.1', '127.0.0.1']) {
      expect(mayReach(address, allowed), address).toBe(false);
    }
  });
  test('that is none is not', () => expect(mayReach('localhost', [['127.0.0.0', 8]])).toBe(false));
});

describe('a URL', () => {
  const here = [parseNetwork('127.0.0.0/8'), parseNetwork('10.0.0.0/8')];
  test.each([
    ['https://hooks.example/a?b=c', [], null],
    ['https://hooks.example:8443/', [], null],
    ['https://8.8.8.8/', [], null],
    ['http://hooks.example/', [], 'https'],
    ['http://8.8.8.8/', [], 'https'],
    ['http://10.0.0.1/', here, 'https'],
    ['http://127.0.0.1:9/', [], 'https'],
    ['http://localhost/', [], 'https'],
    ['http://127.0.0.1:9/', here, null],
    ['http://localhost/', here, null],
    ['http://[::1]/', here, 'https'],
    ['https://127.0.0.1/', [], 'address'],
    ['https://localhost/', [], 'address'],
    ['https://0x7f.1/', [], 'address'],
    ['https://2130706433/', [], 'address'],
    ['https://[::ffff:7f00:1]/', [], 'address'],
    ['https://169.254.169.254/latest', [], 'address'],
    ['https://10.0.0.1/', here, null],
    ['https://user:pass@hooks.example/', [], 'credentials'],
    ['https://hooks.example/#part', [], 'url'],
    ['ftp://hooks.example/', [], 'url'],
    ['file:///etc/passwd', [], 'url'],
    ['hooks.example', [], 'url'],
    ['', [], 'url'],
  ])('%s with %j: %s', (url, allowed, fault) => expect(urlFault(url, allowed)).toBe(fault));
});

describe('the settings', () => {
  test('come from options, else from the environment, else there is nothing more', () => {
    const env = { LATCHKEY_WEBHOOK_ALLOW: '10.0.0.0/8, fd00::/8' };
    expect(readWebhookOptions({}, env).allowed.map(([, bits]) => bits)).toEqual([8, 8]);
    expect(readWebhookOptions({ webhookAllow: '127.0.0.0/8' }, env).allowed).toEqual([['127.0.0.0', 8]]);
    expect(readWebhookOptions({}, {})).toEqual({ allowed: [], ca: null });
  });

  test.each(['10.0.0.0', '10.0.0.0/33', 'localhost/8', '*', '10.0.0.0/8;11.0.0.0/8'])('%s is CONFIG_INVALID', (text) =>
    expect(() => readWebhookOptions({ webhookAllow: text }, {})).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    ),
  );
});
