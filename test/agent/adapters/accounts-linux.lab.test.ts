// The real accounts adapter, on real PAM, in a guest.

import { allAccountsRules } from '../contracts/account-cases.ts';
import { describeInGuest } from '../contracts/guest-run.ts';
import { busybox, directory, pwquality } from './account-packages.ts';

describeInGuest(
  'accounts',
  allAccountsRules.map(({ title }) => title),
  { needs: [pwquality, directory, busybox] },
);
