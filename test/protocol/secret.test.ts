// A secret cannot print: whatever a careless line of this program does with one, its value does not come out.

import { format, inspect } from 'node:util';
import { serialize } from 'node:v8';
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, test, vi } from 'vitest';
import { Failure } from '../../protocol/failure.ts';
import { Secret } from '../../protocol/secret.ts';
import { ARTIFICIAL_PASSWORD } from './samples.ts';

const VALUE = ARTIFICIAL_PASSWORD;
const secret = Secret.ofText(VALUE);
const cause = new Error('outer', { cause: secret });

function logged(write: (log: ReturnType<typeof pino>) => void): string {
  let lines = '';
  write(pino({ level: 'trace' }, { write: (line: string) => (lines += line) }));
  return lines;
}

function printed(print: () => void): string {
  const spy = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const consoleSpy = vi
    .spyOn(console, 'log')
    .mockImplementation((...values) => void process.stdout.write(format(...values)));
  print();
  const text = spy.mock.calls.map(([chunk]) => String(chunk)).join('');
  consoleSpy.mockRestore();
  spy.mockRestore();
  return text;
}

const ways: Record<string, () => string> = {
  String: () => String(secret),
  'a template': () => `${secret}`,
  concatenation: () => `${secret as unknown as string}`.concat(secret as unknown as string),
  join: () => [secret, secret].join(),
  JSON: () => JSON.stringify({ secret, list: [secret] }),
  'an object key': () => Object.keys({ [secret as unknown as string]: 1 }).join(),
  inspect: () => inspect(secret),
  'inspect without the custom form': () => inspect(secret, { customInspect: false, showHidden: true, depth: 9 }),
  'inspect of what holds it': () => inspect({ deep: { secret } }, { depth: 9, getters: true }),
  '%s, %o, %O, %j': () => format('%s %o %O %j', secret, secret, secret, secret),
  'console.log': () => printed(() => console.log('%s', secret, secret, { secret })),
  'an error’s cause': () => `${inspect(cause)} ${String(cause.stack)}`,
  'a failure’s cause': () => inspect(new Failure('UNSEAL_FAILED', {}, secret)),
  'its enumerable properties': () => JSON.stringify([Object.entries(secret), { ...secret }, Reflect.ownKeys(secret)]),
  'a structured clone': () => inspect(structuredClone(secret), { showHidden: true }),
  'its serialised form': () => serialize({ ...secret }).toString('latin1'),
  'pino, as a field': () => logged((log) => log.info({ secret, deep: { secret } }, 'message')),
  'pino, as the object': () => logged((log) => log.info(secret as unknown as object)),
  'pino, in the message': () => logged((log) => log.info('%s %o %j', secret, secret, secret)),
  'pino, in an error': () => logged((log) => log.error({ err: cause }, 'failed')),
  'pino, as a binding': () => logged((log) => log.child({ secret }).info('message')),
};

describe('its value does not come out of', () => {
  test.each(Object.entries(ways))('%s', (_, print) => {
    const text = print();
    const hex = Buffer.from(VALUE).toString('hex');
    const numbers = [...Buffer.from(VALUE)].slice(0, 4).join(',');
    for (const form of [VALUE, hex, Buffer.from(VALUE).toString('base64'), numbers]) expect(text).not.toContain(form);
  });

  test('and where something is printed, it is "[secret]"', () => {
    for (const way of ['String', 'a template', 'join', 'JSON', 'inspect', 'console.log', 'pino, as a field'] as const) {
      expect(ways[way]?.(), way).toContain('[secret]');
    }
  });
});

describe('its value', () => {
  test('is revealed by name only, as a copy', () => {
    const copy = secret.revealBytes();
    copy.fill(0);
    expect(secret.reveal()).toBe(VALUE);
    expect(secret.length).toBe(VALUE.length);
  });

  test('is gone after a wipe, also from the bytes that were handed over', () => {
    const bytes = new TextEncoder().encode(VALUE);
    const wiped = Secret.ofBytes(bytes);
    wiped.wipe();
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(() => wiped.reveal()).toThrow('the secret was wiped');
    expect(() => wiped.revealBytes()).toThrow('the secret was wiped');
    expect(() => wiped.equals(secret)).toThrow('the secret was wiped');
  });

  test('equals another exactly where the bytes do', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 12 }), (a, b) => {
        const same = Buffer.from(a).equals(Buffer.from(b));
        expect(Secret.ofBytes(Uint8Array.from(a)).equals(Secret.ofBytes(Uint8Array.from(b)))).toBe(same);
        expect(Secret.ofBytes(Uint8Array.from(a)).equals(Secret.ofBytes(Uint8Array.from(a)))).toBe(true);
        const longer = Uint8Array.from([...a, ...a]);
        expect(Secret.ofBytes(longer).equals(Secret.ofBytes(Uint8Array.from(a)))).toBe(a.length === 0);
      }),
    );
  });

  test('that is no UTF-8 is not turned into replacement characters', () => {
    expect(() => Secret.ofBytes(Uint8Array.of(0xff)).reveal()).toThrow(TypeError);
  });
});
