// sshd_config(5) by sshd's own rules, from texts.

import { describe, expect, it } from 'vitest';
import { readSshdConfig, sshObstacles } from '../../../agent/adapters/sshd-config.ts';

const MAIN = '/etc/ssh/sshd_config';

/** What is told of an account, given the main file and those that Includes name. */
function told(main: string, uid = 1000, others: Readonly<Record<string, string>> = {}): readonly string[] {
  const texts = new Map(Object.entries({ [MAIN]: main, ...others }));
  const files = {
    read: (path: string) => texts.get(path) ?? null,
    glob: (pattern: string) => [...texts.keys()].filter((path) => path.startsWith(pattern.replace(/\*.*$/, ''))).sort(),
  };
  const settings = readSshdConfig(files, MAIN);
  return settings === null ? ['none'] : sshObstacles(settings, uid);
}

describe('a password for anyone', () => {
  it.each([
    ['by default it is taken', '', []],
    ['no is no', 'PasswordAuthentication no', ['SSH_PASSWORD_OFF']],
    ['keywords are known in any case', 'pAsSwOrDaUtHeNtIcAtIoN no', ['SSH_PASSWORD_OFF']],
    ['an equals sign may stand between', 'PasswordAuthentication=no', ['SSH_PASSWORD_OFF']],
    ['so may blanks around it', '\tPasswordAuthentication = no  ', ['SSH_PASSWORD_OFF']],
    ['quotes are not part of the value', 'PasswordAuthentication "no"', ['SSH_PASSWORD_OFF']],
    ['what follows a hash is a comment', '#PasswordAuthentication no\nPasswordAuthentication yes # no', []],
    ['the first value wins', 'PasswordAuthentication yes\nPasswordAuthentication no', []],
    ['PAM asks for it as well', 'PasswordAuthentication no\nUsePAM yes', []],
    [
      'unless that is off, too',
      'PasswordAuthentication no\nUsePAM yes\nKbdInteractiveAuthentication no',
      ['SSH_PASSWORD_OFF'],
    ],
    [
      'also under its old name',
      'PasswordAuthentication no\nUsePAM yes\nChallengeResponseAuthentication no',
      ['SSH_PASSWORD_OFF'],
    ],
  ])('%s', (_, text, expected) => expect(told(text)).toEqual(expected));
});

describe('a password for root', () => {
  it.each([
    ['by default it is not taken', '', ['SSH_ROOT_PASSWORD_OFF']],
    ['yes is yes', 'PermitRootLogin yes', []],
    ['without-password is an old name for keys alone', 'PermitRootLogin without-password', ['SSH_ROOT_PASSWORD_OFF']],
    ['no is no', 'PermitRootLogin no', ['SSH_ROOT_PASSWORD_OFF']],
    ['both obstacles are told', 'PasswordAuthentication no', ['SSH_PASSWORD_OFF', 'SSH_ROOT_PASSWORD_OFF']],
    ['a Match on it decides later', 'Match Address 10.0.0.0/8\nPermitRootLogin yes', ['SSH_DEPENDS']],
  ])('%s', (_, text, expected) => expect(told(text, 0)).toEqual(expected));

  it('a Match on root alone is nothing to others', () => {
    expect(told('Match Address 10.0.0.0/8\nPermitRootLogin yes')).toEqual([]);
  });
});

describe('what depends', () => {
  it.each([
    ['a Match that sets it', 'Match User ada\nPasswordAuthentication no', ['SSH_DEPENDS']],
    [
      'a Match that takes it back',
      'PasswordAuthentication no\nMatch User ada\nPasswordAuthentication yes',
      ['SSH_DEPENDS'],
    ],
    ['a Match for all', 'Match all\nPasswordAuthentication no', ['SSH_DEPENDS']],
    ['a Match on something else does not', 'Match User ada\nX11Forwarding no', []],
    ['a list of users', 'AllowUsers ada', ['SSH_DEPENDS']],
    ['a list of groups', 'DenyGroups staff', ['SSH_DEPENDS']],
    ['a second factor', 'AuthenticationMethods publickey,password', ['SSH_DEPENDS']],
    ['a password among the methods does not', 'AuthenticationMethods publickey,password password', []],
    ['nor one that PAM asks for', 'AuthenticationMethods keyboard-interactive:pam', []],
    ['what is off for sure stays off', 'PasswordAuthentication no\nAllowUsers ada', ['SSH_PASSWORD_OFF']],
  ])('%s', (_, text, expected) => expect(told(text)).toEqual(expected));
});

describe('an Include', () => {
  const off = { '/etc/ssh/sshd_config.d/50-cloud.conf': 'PasswordAuthentication no' };
  it('stands where it is written: before, it wins', () => {
    expect(told('Include sshd_config.d/*.conf\nPasswordAuthentication yes', 1000, off)).toEqual(['SSH_PASSWORD_OFF']);
  });
  it('and after, it does not', () => {
    expect(told('PasswordAuthentication yes\nInclude /etc/ssh/sshd_config.d/*.conf', 1000, off)).toEqual([]);
  });
  it('reads files in the order of their names', () => {
    const files = { ...off, '/etc/ssh/sshd_config.d/10-first.conf': 'PasswordAuthentication yes' };
    expect(told('Include sshd_config.d/*.conf', 1000, files)).toEqual([]);
  });
  it('inside a Match it holds for the Match alone', () => {
    expect(told('Match User ada\nInclude sshd_config.d/*.conf', 1000, off)).toEqual(['SSH_DEPENDS']);
  });
  it('ends the Match of its file with the file', () => {
    const match = { '/etc/ssh/sshd_config.d/50.conf': 'Match User ada\nX11Forwarding no' };
    expect(told('Include sshd_config.d/*.conf\nPasswordAuthentication no', 1000, match)).toEqual(['SSH_PASSWORD_OFF']);
  });
  it('of itself comes to an end', () => {
    expect(told('Include sshd_config\nPasswordAuthentication no')).toEqual(['SSH_PASSWORD_OFF']);
  });
});

it('without a configuration there is no SSH server to speak of', () => {
  expect(readSshdConfig({ read: () => null, glob: () => [] }, MAIN)).toBe(null);
});
