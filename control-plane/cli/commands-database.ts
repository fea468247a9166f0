// `latchkey migrate`, `backup` and `doctor`: what keeps the control plane on this host well.

import type { Command } from 'commander';
import { onHost, withJson } from './action.ts';
import { type BackupOptions, backUp } from './host/backup.ts';
import { type DoctorOptions, examine } from './host/doctor.ts';
import { type MigrateOptions, migrateDatabase } from './host/migrate.ts';

export function registerDatabaseCommands(program: Command): void {
  const migrate = withDatabase(withData(program.command('migrate')))
    .description('bring the database up to date; stop what runs on it first (`serve` does it at its start)')
    .option('--dry-run', 'try every step, and undo it');
  onHost<MigrateOptions>(migrate, (options) => migrateDatabase(options));

  const backup = withData(program.command('backup'))
    .description(
      'copy databases and keys of a data folder, while it runs; `serve --data` on a copy of it is the restore',
    )
    .argument('<folder>', 'folder to make');
  onHost<BackupOptions>(backup, (options, [folder = '']) => backUp(folder, options));

  const doctor = withDatabase(withData(program.command('doctor')))
    .description('look at everything that the control plane on this host needs; options as those of `serve`')
    .option('--smtp-url <url>', 'server for mails to operators (LATCHKEY_SMTP_URL)')
    .option('--smtp-user <name>', 'user name there (LATCHKEY_SMTP_USER)')
    .option('--smtp-password-file <file>', 'file with the password (LATCHKEY_SMTP_PASSWORD_FILE)')
    .option('--smtp-ca <file>', 'the authority that issued its certificate (LATCHKEY_SMTP_CA_FILE)')
    .option('--mail-from <address>', 'sender of these mails (LATCHKEY_MAIL_FROM)');
  onHost<DoctorOptions>(doctor, (options) => examine(options));
}

function withData(command: Command): Command {
  return withJson(command).option('--data <folder>', 'data folder (LATCHKEY_DATA, else ~/.local/share/latchkey)');
}

function withDatabase(command: Command): Command {
  return command
    .option('--database-url <url>', 'PostgreSQL instead of SQLite (LATCHKEY_DATABASE_URL)')
    .option('--database-password-file <file>', 'file with its password (LATCHKEY_DATABASE_PASSWORD_FILE)')
    .option('--database-ca <file>', 'the authority that issued its certificate (LATCHKEY_DATABASE_CA_FILE)');
}
