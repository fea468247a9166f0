#!/usr/bin/env node
// The command line of the control plane. It owns `serve` and the signer's process, and how an error of these is shown: one
// line with its code and no stack. Every other command is in cli/.

import { Command } from 'commander';
import { Failure } from '../protocol/failure.ts';
import { serveApart, whyNotApart } from './apart.ts';
import { registerCommands } from './cli/commands.ts';
import { asFailure, errorLine } from './cli/view/text.ts';
import { LISTEN_DEFAULT, readServeOptions, type ServeFlags } from './config/options.ts';
import { passwdText, readUsers } from './config/users.ts';
import { serve } from './serve.ts';
import { runSigner, type SignerSettings } from './signer-process.ts';
import { VERSION } from './version.ts';
import { runWeb } from './web-process.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const program = new Command('latchkey')
  .description('Resets the password of a virtual machine whose owner has lost it, without ever seeing that password.')
  .version(VERSION)
  .showSuggestionAfterError(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));

program
  .command('serve')
  .description('run the control plane: gateway, API and signer, over one data folder')
  .option('--data <folder>', 'data folder (LATCHKEY_DATA, else ~/.local/share/latchkey)')
  .option('--listen <host:port>', `address to listen on (LATCHKEY_LISTEN, else ${LISTEN_DEFAULT})`)
  .option('--public-url <url>', 'address that operators use (LATCHKEY_PUBLIC_URL)')
  .option('--agent-url <url>', 'address that agents use')
  .option('--tls-cert <file>', 'certificate, PEM; plain connections are accepted on the loopback address alone')
  .option('--tls-key <file>', 'its private key, PEM')
  .option('--ca <file>', 'the authority that issued it, PEM: agents accept no other')
  .option('--tls-self-signed', 'make an authority and a certificate in the data folder, and renew the certificate')
  .option('--database-url <url>', 'PostgreSQL, postgresql://user@host:port/name (LATCHKEY_DATABASE_URL)')
  .option('--database-password-file <file>', 'file with its password, mode 0600 (LATCHKEY_DATABASE_PASSWORD_FILE)')
  .option('--database-ca <file>', 'the authority that issued its certificate, PEM (LATCHKEY_DATABASE_CA_FILE)')
  .option('--smtp-url <url>', 'server for mails to operators, smtp(s)://host:port (LATCHKEY_SMTP_URL)')
  .option('--smtp-user <name>', 'user name there (LATCHKEY_SMTP_USER)')
  .option('--smtp-password-file <file>', 'file with the password, mode 0600 (LATCHKEY_SMTP_PASSWORD_FILE)')
  .option('--smtp-ca <file>', 'the authority that issued its certificate, PEM (LATCHKEY_SMTP_CA_FILE)')
  .option('--mail-from <address>', 'sender of these mails (LATCHKEY_MAIL_FROM)')
  .option('--command-key-program <file>', 'program that holds the command key and signs (LATCHKEY_COMMAND_KEY_PROGRAM)')
  .option(
    '--metrics-listen <host:port>',
    'address for metrics, health and readiness (LATCHKEY_METRICS_LISTEN, else none)',
  )
  .option('--user <name|uid>', 'as root: who gateway and API are (account latchkey, else a number)')
  .option('--signer-user <name|uid>', 'as root: who the signer is (account latchkey-signer, else a number)')
  .option('--json', 'print one JSON object a line')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
  .action(async (flags: ServeFlags) => {
    // Listened to from the beginning: a signal that comes during the start ends it in order, too.
    const asked = askedToStop();
    const signerArgv = (data: string, settings: SignerSettings) => [
      ...[import.meta.filename, 'signer', '--data', data],
      ...['--settings', JSON.stringify(settings)],
    ];
    const options = readServeOptions(flags, process.env);
    const users = readUsers(flags, { isRoot: process.getuid?.() === 0, passwd: passwdText() });
    const why = users && whyNotApart(options, users);
    const webArgv = [import.meta.filename, 'web'];
    const serving =
      users && !why ? await serveApart(options, users, { signerArgv, webArgv }) : await serve(options, signerArgv);
    if (why) process.stderr.write(`${errorLine(new Failure('SIGNER_NOT_APART', why))}\n`);
    const { url, data } = serving;
    print(
      flags.json ? JSON.stringify({ event: 'listening', url, data }) : `Latchkey listens on ${url} (data in ${data})`,
    );
    await Promise.race([asked, serving.ended]);
    await serving.stop();
    if (flags.json) print(JSON.stringify({ event: 'stopped' }));
  });

program
  .command('signer', { hidden: true })
  .requiredOption('--data <folder>')
  .option('--settings <json>', '', '{}')
  .action(({ data, settings }: Readonly<{ data: string; settings: string }>) =>
    runSigner(data, JSON.parse(settings) as Partial<SignerSettings>),
  );

program.command('web', { hidden: true }).action(() => runWeb());

registerCommands(program);

// Whoever read our output may go before we end, as `head` does: that is no reason to stop, or to show a stack.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await program.parseAsync(process.argv);
} catch (error) {
  process.exitCode = EXIT_FAILED;
  process.stderr.write(`${errorLine(asFailure(error))}\n`);
}

/** The first signal ends in order; a second one ends at once. */
function askedToStop(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = () => {
      if (asked) process.exit(EXIT_FAILED);
      asked = true;
      resolve();
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
