// The rules of PAM as files, in the shapes in which distributions write them.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSandbox } from '../../../agent/adapters/inspection-linux.ts';
import { readPam } from '../../../agent/adapters/pam-stack.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'latchkey-pam-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const MODULES = 'usr/lib/x86_64-linux-gnu/security';
function given(files: Readonly<Record<string, string>>, modules: readonly string[] = ['pam_unix.so', 'pam_deny.so']) {
  for (const [path, text] of Object.entries({
    ...files,
    ...Object.fromEntries(modules.map((name) => [`${MODULES}/${name}`, ''])),
  })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return readPam('passwd', root);
}

const fine = { denies: false, missing: [], unclear: false };
const debian = {
  'etc/pam.d/passwd': '# comment\n@include common-password\n',
  'etc/pam.d/common-password':
    'password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\npassword requisite pam_deny.so\npassword required pam_permit.so\n',
};

describe('the stack of passwd', () => {
  it('is read through what it includes', () => {
    expect(given(debian, ['pam_unix.so', 'pam_deny.so', 'pam_permit.so'])).toEqual({ service: 'passwd', ...fine });
  });
  it('is read as others write it: include, substack, a vendor’s folder, a line that goes on, an absolute path', () => {
    const files = {
      'usr/lib/pam.d/passwd': `password \\\n  substack system-auth\n-password optional pam_gnome_keyring.so\n`,
      'etc/pam.d/system-auth': `password include deeper\n`,
      'usr/lib/pam.d/deeper': `password sufficient /opt/pam_special.so\npassword required pam_unix.so\n`,
    };
    expect(given(files)).toEqual({ service: 'passwd', ...fine });
  });
  it('names a module that it demands and that is not there', () => {
    expect(given(debian, ['pam_unix.so', 'pam_deny.so'])).toMatchObject({ missing: ['pam_permit.so'] });
    // Its rule ignores it, and yet no password is changed without it.
    rmSync(join(root, MODULES, 'pam_unix.so'));
    expect(readPam('passwd', root)).toMatchObject({ missing: ['pam_unix.so', 'pam_permit.so'] });
  });
  it('that finds none of its modules does not know where they are', () => {
    expect(given(debian, [])).toEqual({ service: 'passwd', denies: false, missing: [], unclear: true });
  });
  it('is that of `other` where there is none, which may deny', () => {
    const other = { 'etc/pam.d/other': 'auth required pam_deny.so\npassword required pam_deny.so\n' };
    expect(given(other)).toEqual({ service: 'other', ...fine, denies: true });
    expect(given({ 'etc/pam.d/passwd': 'auth required pam_unix.so\n' })).toMatchObject({ service: 'other' });
  });
  it('is missing, or there is no PAM at all', () => {
    expect(given({ 'etc/pam.d/login': 'auth required pam_unix.so\n' })).toMatchObject({ service: null });
    rmSync(join(root, 'etc'), { recursive: true });
    expect(readPam('passwd', root)).toBeNull();
  });
  it('that includes itself comes to an end', () => {
    expect(given({ 'etc/pam.d/passwd': '@include passwd\npassword required pam_unix.so\n' })).toMatchObject(fine);
  });
});

describe('the restrictions of a process', () => {
  const status = (lines: string) => `Name:\tnode\nCapInh:\t0000000000000000\n${lines}Speculation:\tx\n`;
  it('are read from /proc', () => {
    expect(readSandbox(status('CapBnd:\t00000000000800c3\nNoNewPrivs:\t1\nSeccomp:\t2\n'), true)).toEqual({
      managed: true,
      noNewPrivileges: true,
      capabilities: 0x800c3n,
      seccomp: true,
    });
    expect(readSandbox(status('CapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n'), true)).toMatchObject({
      noNewPrivileges: false,
      seccomp: false,
    });
  });
  it('that a kernel does not tell are not guessed', () => expect(readSandbox(status('CapBnd:\t0\n'), true)).toBeNull());
});
