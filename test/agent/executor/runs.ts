// How a test lets a command run: to the end of its process, or through the reboot and the process after it.

import { dieOnReboot, type Guest } from './guest.ts';
import { order, type Wishes } from './orders.ts';

/** Sends a command and lets the process come to its end. */
export async function execute(guest: Guest, wishes: Wishes = {}) {
  const { conversation, ready } = await guest.prepare();
  conversation.send({ t: 'execute', token: await order(ready, wishes) });
  await conversation.over;
  return conversation;
}
/** The same, with the reboot and the process after it. */
export async function executeAndBoot(guest: Guest, meanwhile: () => void = () => {}, wishes: Wishes = {}) {
  dieOnReboot(guest);
  await execute(guest, wishes);
  meanwhile();
  await guest.ask({ t: 'resume' });
  return guest.receipts();
}
export const changes = (guest: Guest) => guest.machine.accounts.get('root')?.changes;
