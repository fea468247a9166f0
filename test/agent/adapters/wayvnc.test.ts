// wayvnc's configuration: what it says of the login, and the same file with another password in it.

import { describe, expect, it } from 'vitest';
import { configArgument } from '../../../agent/adapters/vnc-wayvnc.ts';
import { parseWayvncConfig, wayvncConfig } from '../../../agent/adapters/wayvnc-config.ts';
import { drawSecret } from '../contracts/contract.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const written = (before: string, password = 'new1-pass'): string =>
  Buffer.from(wayvncConfig.encode(bytes(password), bytes(before))).toString('latin1');
const read = (text: string): string | undefined => {
  const password = wayvncConfig.decode(bytes(text));
  return password && Buffer.from(password).toString('latin1');
};

describe('a configuration', () => {
  it.each([
    ['enable_auth=true\nusername=ada', { asksForLogin: true, byAccount: false, user: 'ada', port: undefined }],
    ['enable_auth = yes \n username= a=b ', { asksForLogin: true, byAccount: false, user: 'a=b', port: undefined }],
    ['enable_auth=false\nport=5907', { asksForLogin: false, byAccount: false, user: '', port: '5907' }],
    ['#enable_auth=true', { asksForLogin: false, byAccount: false, user: '', port: undefined }],
    ['enable_auth=true\nenable_pam=true', { asksForLogin: true, byAccount: true, user: '', port: undefined }],
    ['', { asksForLogin: false, byAccount: false, user: '', port: undefined }],
  ])('says of the login: %j', (text, said) => {
    expect(parseWayvncConfig(bytes(text))).toEqual(said);
  });

  it.each([
    ['password=abc1\n', 'abc1'],
    [' password = ab=c1 ', 'ab=c1'],
    ['password=old1\npassword=abc1', 'abc1'],
    ['#password=abc1', undefined],
    ['password=', undefined],
    ['', undefined],
  ])('holds the last password: %j', (text, password) => {
    expect(read(text)).toBe(password);
  });

  it.each([
    ['a=1\npassword=old1\nb=2\n', 'a=1\npassword=new1-pass\nb=2\n'],
    ['a=1\n password = old1 \nb=2', 'a=1\npassword=new1-pass\nb=2\n'],
    ['password=old1\na=1\npassword=older1\n', 'password=new1-pass\na=1\n'],
    ['#password=old1\n', '#password=old1\npassword=new1-pass\n'],
    ['', 'password=new1-pass\n'],
  ])('has one password and nothing else that is new: %j', (before, after) => {
    expect(written(before)).toBe(after);
  });

  it('gives back all of what it was given, and takes what it is not for the same', () => {
    const password = drawSecret('x'.repeat(20)).revealBytes();
    expect(wayvncConfig.decode(wayvncConfig.encode(password, bytes('a=1\n')))).toEqual(Buffer.from(password));
    expect(wayvncConfig.effective(password)).toEqual(password);
  });

  it.each(['', ' a1', 'a1 ', 'a1\n'])('cannot hold %j', (password) => {
    expect(() => written('a=1\n', password)).toThrow(expect.objectContaining({ details: { reason: 'unstorable' } }));
  });

  it('that is not there has no password to change', () => {
    expect(() => wayvncConfig.encode(bytes('new1'), undefined)).toThrow(
      expect.objectContaining({ details: { reason: 'source_unknown' } }),
    );
  });
});

it.each([
  [['-C', '/c'], '/c'],
  [['-C/c'], '/c'],
  [['--config', '/c'], '/c'],
  [['--config=/c', '127.0.0.1', '5907'], '/c'],
  [['-C', '/b', '-C', '/c'], '/c'],
  [['-o', 'HEADLESS-1'], undefined],
])('arguments %j name the file', (argv, file) => {
  expect(configArgument(['wayvnc', ...argv])).toBe(file);
});
