// Every command of `latchkey` but those that run the control plane, added to a program.

import type { Command } from 'commander';
import { registerAuditCommands } from './commands-audit.ts';
import { registerBulkCommands } from './commands-bulk.ts';
import { registerDatabaseCommands } from './commands-database.ts';
import { registerHostCommands } from './commands-host.ts';
import { registerKeysCommands } from './commands-keys.ts';
import { registerLoginCommands } from './commands-login.ts';
import { registerOperationCommands } from './commands-operation.ts';
import { registerPeopleCommands } from './commands-people.ts';
import { registerResetCommands } from './commands-reset.ts';
import { registerShellCommands } from './commands-shell.ts';
import { registerVmCommands } from './commands-vm.ts';
import { registerWebhookCommands } from './commands-webhook.ts';
import { EXIT } from './exit-codes.ts';

export function registerCommands(program: Command): void {
  const before = program.commands.length;
  registerLoginCommands(program);
  registerVmCommands(program);
  registerResetCommands(program);
  registerOperationCommands(program);
  registerBulkCommands(program);
  registerHostCommands(program);
  registerPeopleCommands(program);
  registerWebhookCommands(program);
  registerKeysCommands(program);
  registerAuditCommands(program);
  registerDatabaseCommands(program);
  registerShellCommands(program);
  for (const command of program.commands.slice(before)) exitOnMisuse(command);
}

/** commander ends with 1 on a wrong option, which here means that an operation failed. */
function exitOnMisuse(command: Command): void {
  command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : EXIT.usage));
  for (const child of command.commands) exitOnMisuse(child);
}
