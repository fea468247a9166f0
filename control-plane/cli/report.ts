// The end of a watched operation: says how it ended, shows generated passwords this once, lets go of their keys, and
// gives the exit code. The only place that prints a password.

import type { OperationView } from '../api/schemas.ts';
import type { Client } from './client/client.ts';
import { dropRecipient } from './client/recipients.ts';
import { EXIT, exitCodeOfState } from './exit-codes.ts';
import type { ResetOutcome } from './reset/request.ts';
import { inForce, isKeyKept, isSettled, letGo, type OpenedSecrets, openSecrets } from './reset/secrets.ts';
import { doneJson, endingLines, revealed, secretLines, unfinishedLines } from './view/outcome.ts';
import { printable, writeJson, writeLine, writeNote } from './view/text.ts';

type ReportOptions = Readonly<{ json: boolean; reveal: boolean }>;

export async function report(client: Client, outcome: ResetOutcome, options: ReportOptions): Promise<number> {
  const { end, operation } = outcome;
  const shows = (options.json ? options.reveal : true) && mayShow(outcome);
  const secrets = shows ? await openSecrets(client, operation) : {};
  if (options.json) {
    const done = doneJson(operation, end === 'ended' ? 'done' : end);
    writeJson(options.reveal ? { ...done, secrets: revealed(operation, secrets) } : done);
  } else {
    const ending = end === 'ended' ? endingLines(operation) : unfinishedLines(end, operation);
    for (const line of ending) writeLine(line);
    const passwords = secretLines(operation, secrets);
    for (const line of passwords.length > 0 ? ['', ...passwords] : []) writeLine(line);
  }
  await settle(client, operation, { secrets, json: options.json });
  return exitCodeOf(outcome);
}

/** Those of one machine of many, once. */
export async function reportSecrets(client: Client, view: OperationView, json: boolean): Promise<void> {
  const secrets = await openSecrets(client, view);
  const opened = Object.values(secrets);
  if (opened.length === 0) return;
  const { vm_name: vm, op } = view;
  if (json) writeJson({ event: 'secrets', vm, op, secrets: revealed(view, secrets) });
  else for (const line of ['', `${printable(vm)}:`, ...secretLines(view, secrets)]) writeLine(line);
  await letGo(client, view);
  for (const secret of opened) secret.wipe();
}

/**
 * A password is shown when the operation is over, or when this command gives up on one whose password is in force
 * already: the operator needs it then. Otherwise it is kept for `latchkey op watch`.
 */
function mayShow({ end, operation }: ResetOutcome): boolean {
  if (end === 'ended') return true;
  return (end === 'overdue' || end === 'timeout') && everythingInForce(operation);
}

function everythingInForce(view: OperationView): boolean {
  return (['account', 'vnc'] as const).every((slot) => view[slot] === null || inForce(view, slot) === 'yes');
}

type Shown = Readonly<{ secrets: OpenedSecrets; json: boolean }>;

async function settle(client: Client, view: OperationView, { secrets, json }: Shown): Promise<void> {
  const shown = Object.values(secrets);
  if (shown.length > 0) {
    await letGo(client, view);
    for (const secret of shown) secret.wipe();
    return;
  }
  if (!(await isKeyKept(client, view))) return;
  if (view.sealed === null && isSettled(view)) await dropRecipient(client.stateFolder, view.op);
  else if (json) {
    writeNote(`latchkey: \`latchkey op watch ${view.op} --json --reveal\` shows the generated password once.`);
  }
}

function exitCodeOf({ end, operation }: ResetOutcome): number {
  if (end === 'ended') return exitCodeOfState(operation.state);
  if (end === 'interrupted') return EXIT.interrupted;
  return end === 'detached' ? EXIT.done : EXIT.late;
}
