// What the arguments of TightVNC and x11vnc say about where a password is.

import { describe, expect, it } from 'vitest';
import { parseTightvncArguments } from '../../../agent/adapters/vnc-tightvnc.ts';
import { decidesCredential, parseX11vncArguments } from '../../../agent/adapters/x11vnc-arguments.ts';

const tightvnc = (...argv: string[]) => parseTightvncArguments(['Xtightvnc', ':1', ...argv]);
const x11vnc = (...argv: string[]) => parseX11vncArguments(['x11vnc', '-display', ':0', ...argv]);

describe('TightVNC', () => {
  it('names its file and its port', () => {
    expect(tightvnc('-rfbauth', '/p', '-rfbport', '5999')).toEqual({ passwordFile: '/p', port: 5999 });
  });
  it('has the port of its display, and no password without a file', () => {
    expect(tightvnc('-depth', '24')).toEqual({ passwordFile: undefined, port: 5901 });
    expect(tightvnc('-rfbauth')).toEqual({ passwordFile: undefined, port: 5901 });
  });
  it('obeys the last of a name', () => {
    expect(tightvnc('-rfbauth', '/q', '-rfbauth', '/p').passwordFile).toBe('/p');
  });
});

describe('x11vnc', () => {
  it.each([
    [['-rfbauth', '/p'], { in: 'obfuscated', file: '/p' }],
    [['--rfbauth', '/p'], { in: 'obfuscated', file: '/p' }],
    [['-passwdfile', '/p'], { in: 'plain', file: '/p', again: false }],
    [['-passwdfile', 'read:/p'], { in: 'plain', file: '/p', again: true }],
    [['-usepw'], { in: 'home' }],
    [['-usepw', '-rfbauth', '/p'], { in: 'obfuscated', file: '/p' }],
    [['-passwd', 'shown'], { in: 'arguments' }],
    [['', '', '', ''], { in: 'arguments' }],
    [['-rfbauth', '/p', '', '', ''], { in: 'arguments' }],
    [['-unixpw'], { in: 'account' }],
    [['-unixpw_nis', '-rfbauth', '/p'], { in: 'account' }],
    [['-passwdfile', 'rm:/p'], { in: 'unclear' }],
    [['-passwdfile', 'cmd:/p'], { in: 'unclear' }],
    [['-passwdfile', 'custom:/p'], { in: 'unclear' }],
    [['-passwdfile', '/p', '-rfbauth', '/q'], { in: 'unclear' }],
    [['-nopw'], { in: 'none' }],
    [[], { in: 'none' }],
    [['-desktop', '', '-rfbauth', '/p'], { in: 'obfuscated', file: '/p' }],
  ])('has its password where %j says', (argv, credential) => {
    expect(x11vnc(...argv).credential).toEqual(credential);
  });
  it('never gives out a password of the arguments', () => {
    expect(JSON.stringify(x11vnc('-passwd', 'shown', '-rfbport', '5907'))).not.toContain('shown');
  });
  it('names its port and its file of options', () => {
    expect(x11vnc('-rfbport', '5907').port).toBe(5907);
    expect([x11vnc(), x11vnc('-rc', '/r'), x11vnc('-rc', '/r', '-norc')].map(({ optionsFile }) => optionsFile)).toEqual(
      [undefined, '/r', null],
    );
  });
  it('may have its credential decided by a file of options', () => {
    const texts = ['rfbauth /p', '  -passwdfile /p', 'usepw', '# rfbauth /p', 'forever\nshared', ''];
    expect(texts.map(decidesCredential)).toEqual([true, true, true, false, false, false]);
  });
});
