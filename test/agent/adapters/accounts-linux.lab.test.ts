// The real accounts adapter, on real PAM, in a guest.

import { existsSync, globSync } from 'node:fs';
import { allAccountsRules } from '../contracts/account-cases.ts';
import { describeInGuest } from '../contracts/guest-run.ts';

const isThere = (pattern: string): boolean => globSync(pattern).length > 0;
const needs = [
  {
    name: 'pam_pwquality',
    command: 'apt-get install libpam-pwquality',
    met: isThere('/usr/lib/*/security/pam_pwquality.so') || isThere('/usr/lib{,64}/security/pam_pwquality.so'),
  },
  {
    name: 'a directory of accounts',
    command: 'apt-get install libnss-extrausers',
    met: isThere('/usr/lib{,64,/*}/libnss_extrausers.so.2'),
  },
  { name: 'busybox', command: 'apt-get install busybox', met: existsSync('/usr/bin/busybox') },
];

describeInGuest(
  'accounts',
  allAccountsRules.map(({ title }) => title),
  { needs },
);
