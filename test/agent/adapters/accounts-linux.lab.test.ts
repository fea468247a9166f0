// The real accounts adapter, on real PAM, in a guest.

import { accountsRules } from '../contracts/accounts.ts';
import { describeInGuest } from '../contracts/guest-run.ts';

describeInGuest(
  'accounts',
  accountsRules.map(({ title }) => title),
);
