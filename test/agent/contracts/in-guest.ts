// Runs a contract on the real adapters, inside a lab guest, and prints one line of JSON for each rule. Never runs
// anywhere else: the rules change accounts.

import { existsSync } from 'node:fs';
import { linuxAccountRules } from '../adapters/account-files-in-guest.ts';
import { accountsInGuest } from '../adapters/accounts-in-guest.ts';
import { environmentInGuest, powerInGuest } from '../adapters/machine-in-guest.ts';
import { servicesInGuest } from '../adapters/services-in-guest.ts';
import { adversaryRules } from '../adapters/vnc-adversary-in-guest.ts';
import { vncInGuest } from '../adapters/vnc-in-guest.ts';
import { type VncStand, vncStands } from '../adapters/vnc-stands.ts';
import { togetherRules } from '../adapters/vnc-together-in-guest.ts';
import { allAccountsRules } from './account-cases.ts';
import type { Rule } from './contract.ts';
import { environmentRules } from './environment.ts';
import { powerRules } from './power.ts';
import { servicesRules } from './services.ts';
import { vncRules } from './vnc.ts';

async function runRules<S>(rules: readonly Rule<S>[], subject: S): Promise<void> {
  for (const { title, run } of rules) {
    const fault = await run(subject).then(
      () => null,
      (error: unknown) => (error instanceof Error ? `${error.stack}\n${String(error.cause ?? '')}` : String(error)),
    );
    process.stdout.write(`${JSON.stringify({ title, fault })}\n`);
  }
}

function runVncRules(stand: VncStand): Promise<void> {
  return runRules(vncRules(stand.traits), vncInGuest(stand));
}

const contracts: Readonly<Record<string, () => Promise<void>>> = {
  accounts: () => runRules([...allAccountsRules, ...linuxAccountRules], accountsInGuest()),
  ...Object.fromEntries(Object.entries(vncStands).map(([name, stand]) => [name, () => runVncRules(stand)])),
  'vnc-together': () => runRules(togetherRules, null),
  services: () => runRules(servicesRules, servicesInGuest()),
  'vnc-adversary': () => runRules(adversaryRules, null),
  power: () => runRules(powerRules, powerInGuest()),
  environment: () => runRules(environmentRules, environmentInGuest()),
};

if (!existsSync('/run/latchkey-lab-guest')) throw new Error('this runs in a lab guest only');
const run = contracts[process.argv[2] ?? ''];
if (run === undefined) throw new Error(`name one of ${Object.keys(contracts).join(', ')}`);
await run();
process.exit(0);
