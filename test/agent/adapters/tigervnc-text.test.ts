// What arguments and configuration of TigerVNC say about its password file.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isWrapperCopy, parseTigervncArguments } from '../../../agent/adapters/tigervnc-arguments.ts';
import { findDefaultFile, findWrapperSource, parseWrapperConfig } from '../../../agent/adapters/tigervnc-source.ts';

const parse = (...argv: string[]) => parseTigervncArguments(['/usr/bin/Xtigervnc', ':1', ...argv]);

const asItIs = (path: string): string => path;

describe('arguments of a server', () => {
  it.each([
    [['-PasswordFile', '/p']],
    [['-passwordfile=/p']],
    [['PasswordFile=/p']],
    [['-rfbauth', '/p']],
    [['-RFBAUTH=/p']],
    [['--PasswordFile', '/p']],
    [['-rfbauth', '/q', '-rfbauth', '/p']],
  ])('the password file is found in any form: %j', (argv) => expect(parse(...argv).passwordFile).toBe('/p'));

  it('a file name that looks like an assignment is a file name', () => {
    expect(parse('-PasswordFile', '/a=b').passwordFile).toBe('/a=b');
  });
  it('the kind is an account’s only when every type is one of PAM', () => {
    const kinds = ['Plain', 'TLSPlain,X509Plain', 'plain', 'VncAuth,Plain', 'VncAuth', 'TLSVnc', 'None', ''];
    expect(kinds.map((types) => parse(`-SecurityTypes=${types}`).kind)).toEqual([
      'account',
      'account',
      'account',
      'vncauth',
      'vncauth',
      'vncauth',
      'vncauth',
      'vncauth',
    ]);
    expect(parse().kind).toBe('vncauth');
  });
  it.each(['RA2', 'RA2ne', 'RA2_256', 'RA2ne_256', 'ra2,Plain'])(
    'a type that encrypts by RSA asks for an account only with the user’s name: %s',
    (types) => {
      const kindWith = (...argv: string[]) => parse(`-SecurityTypes=${types}`, ...argv).kind;
      expect([kindWith(), kindWith('-RequireUsername=0'), kindWith('RequireUsername=off')]).toEqual([
        'vncauth',
        'vncauth',
        'vncauth',
      ]);
      expect([kindWith('-RequireUsername'), kindWith('RequireUsername=1')]).toEqual(['account', 'account']);
    },
  );
  it('one type that reads the password file makes it the file’s', () => {
    expect(parse('-SecurityTypes=RA2,VncAuth', '-RequireUsername').kind).toBe('vncauth');
  });
  it('the port is the one asked for, else the display’s', () => {
    expect(parse('-rfbport', '5999').port).toBe(5999);
    expect(parse('-rfbport=-1').port).toBe(5901);
    expect(parseTigervncArguments(['Xvnc']).port).toBeUndefined();
  });
  it('a password in the arguments is told and not returned', () => {
    expect(JSON.stringify(parse('Password=0011223344556677'))).not.toContain('0011');
    expect(parse('Password=0011223344556677').inline).toBe(true);
    expect(parse('-PasswordFile', '/p').inline).toBe(false);
  });
});

describe('a wrapper’s copy', () => {
  it('is known by its folder', () => {
    expect(['/tmp/tigervnc.aB3_x9/passwd', '/var/tmp/tigervnc.XYZ123/passwd'].map(isWrapperCopy)).toEqual([true, true]);
    expect(['/home/ada/.vnc/passwd', '/tmp/tigervnc.conf', '/tmp/tigervnc.aB3_x9'].map(isWrapperCopy)).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('configuration that is Perl', () => {
  it.each([
    ['', undefined],
    ['# $vncPasswdFile = "/p";\n$localhost = "yes";\n1;\n', undefined],
    ['$vncPasswdFile = "/p";', '/p'],
    ["  $vncPasswdFile='/p' ; # mine", '/p'],
    ['$vncPasswdFile = "$ENV{HOME}/vnc/p";', '/home/ada/vnc/p'],
    ['$vncPasswdFile = "/a";\n$vncPasswdFile = "/b";', '/b'],
    ['$vncPasswdFile = "$vncUserDir/p";', null],
    ['$vncPasswdFile = "p";', null],
    ['$vncPasswdFile = "/p" . `id`;', null],
    ['$vncPasswdFile = "/p@{[1]}";', null],
    ['if (1) { $vncPasswdFile = "/p"; }', null],
    ['$vncUserDir = "/elsewhere";', null],
    ['$vncPasswdFile = "/p";\n$vncUserDir = "/q";', null],
  ])('is understood as a plain assignment or not at all: %j', (text, file) => {
    expect(parseWrapperConfig(text, '/home/ada')).toBe(file);
  });
});

describe('the source of a copy', () => {
  const base = mkdtempSync(join(tmpdir(), 'latchkey-source-'));
  afterAll(() => rmSync(base, { recursive: true }));
  let made = 0;

  function ask(files: Readonly<Record<string, string>>, wrapperArguments?: string[], live = 'one'): string | null {
    made += 1;
    const root = join(base, String(made));
    mkdirSync(root);
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    }
    const question = {
      home: join(root, 'home'),
      configFolder: join(root, 'etc'),
      liveContent: Buffer.from(live),
      view: asItIs,
    };
    return findWrapperSource({ ...question, wrapperArguments })?.replace(`${root}/`, '') ?? null;
  }

  const VNC = 'home/.vnc/passwd';
  const XDG = 'home/.config/tigervnc/passwd';

  it('is the user’s one file', () => {
    expect(ask({ [VNC]: 'one' })).toBe(VNC);
    expect(ask({ [XDG]: 'one' })).toBe(XDG);
  });
  it('of two files is the one that was copied, or cannot be told', () => {
    expect(ask({ [VNC]: 'one', [XDG]: 'two' })).toBe(VNC);
    expect(ask({ [VNC]: 'two', [XDG]: 'one' })).toBe(XDG);
    expect(ask({ [VNC]: 'one', [XDG]: 'one' })).toBeNull();
    expect(ask({ [VNC]: 'two', [XDG]: 'three' })).toBeNull();
  });
  it('is told without a copy, too: the newer place where it alone has a file', () => {
    const home = (...paths: string[]): string => {
      ask(Object.fromEntries(paths.map((path) => [path, 'one'])));
      const root = join(base, String(made));
      return findDefaultFile(join(root, 'home'), asItIs).replace(`${root}/`, '');
    };
    expect([home(), home(VNC), home(XDG), home(VNC, XDG)]).toEqual([VNC, VNC, XDG, VNC]);
  });
  it('cannot be told where there is no file', () => {
    expect(ask({})).toBeNull();
  });
  it('is what the highest of defaults, user, command line and mandatory settings says', () => {
    const set = (path: string): string => `$vncPasswdFile = "${path}";\n`;
    const defaults = { 'etc/vncserver-config-defaults': set('/defaults') };
    const user = { ...defaults, 'home/.vnc/tigervnc.conf': set('/user') };
    const all = { ...user, 'etc/vncserver-config-mandatory': set('/mandatory') };
    const wrapper = ['tigervncserver', '-PasswordFile', '/asked'];
    expect([ask(defaults), ask(user), ask(user, wrapper), ask(all, wrapper)]).toEqual([
      '/defaults',
      '/user',
      '/asked',
      '/mandatory',
    ]);
  });
  it('cannot be told when any of them cannot be understood', () => {
    const odd = { 'home/.vnc/tigervnc.conf': '$vncPasswdFile = choose();\n', [VNC]: 'one' };
    expect(ask(odd)).toBeNull();
    expect(ask({ [VNC]: 'one' }, ['tigervncserver', '-PasswordFile', 'relative'])).toBeNull();
  });
});
