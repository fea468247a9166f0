// The real accounts adapter, on real PAM, in a guest.

import { allAccountsRules } from '../contracts/account-cases.ts';
import { describeInGuest } from '../contracts/guest-run.ts';
import { linuxAccountRules } from './account-files-in-guest.ts';
import { busybox, directory, german, pwquality } from './account-packages.ts';

describeInGuest(
  'accounts',
  [...allAccountsRules, ...linuxAccountRules].map(({ title }) => title),
  { needs: [pwquality, directory, busybox, german] },
);
