// Packages of the distribution that rules about real accounts cannot do without: guests see the runner's /usr.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import type { Need } from '../contracts/guest-run.ts';

const isThere = (...patterns: string[]): boolean => patterns.some((pattern) => globSync(pattern).length > 0);

export const pwquality: Need = {
  name: 'pam_pwquality',
  command: 'apt-get install libpam-pwquality',
  met: isThere('/usr/lib/*/security/pam_pwquality.so', '/usr/lib64/security/pam_pwquality.so'),
};
export const directory: Need = {
  name: 'a directory of accounts',
  command: 'apt-get install libnss-extrausers',
  met: isThere('/usr/lib/libnss_extrausers.so.2', '/usr/lib/*/libnss_extrausers.so.2'),
};
export const busybox: Need = {
  name: 'a busybox that has the password program',
  command: 'apt-get install busybox-static',
  met:
    existsSync('/usr/bin/busybox') &&
    spawnSync('/usr/bin/busybox', ['--list'], { encoding: 'utf8' }).stdout.includes('\npasswd\n'),
};
export const german: Need = {
  name: 'PAM’s words in German',
  command: 'apt-get install --reinstall libpam-runtime',
  met: isThere('/usr/share/locale/de/LC_MESSAGES/Linux-PAM.mo'),
};
