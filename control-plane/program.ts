// The command line of the control plane as one tree of commands. It owns `serve` and its parts; every other command is in
// cli/. Completions, the man page and the examples in the help are made from this tree.

import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { Failure } from '../protocol/failure.ts';
import { serveApart, whyNotApart } from './apart.ts';
import { registerCommands } from './cli/commands.ts';
import { showExamples } from './cli/examples.ts';
import { errorLine } from './cli/view/text.ts';
import {
  defaultDataFolder,
  LISTEN_DEFAULT,
  readServeOptions,
  readSignerSettings,
  type ServeFlags,
  type SignerProcessFlags,
} from './config/options.ts';
import { isApart } from './config/ownership.ts';
import { pathsIn } from './config/paths.ts';
import { passwdText, readUsers, type UserFlags, type Users } from './config/users.ts';
import { serveRole } from './role.ts';
import { type Serving, serve } from './serve.ts';
import { runSigner, type SignerSettings } from './signer-process.ts';
import { VERSION } from './version.ts';
import { runWeb } from './web-process.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** Longer than everything that is waited for at the end together, and shorter than what a service manager waits. */
const STOP_MS_MAX = 25_000;
const COMMAND_KEY_PROGRAM = 'program that holds the command key and signs (LATCHKEY_COMMAND_KEY_PROGRAM)';

/** `main` is the program's own file, which it starts its parts from. */
export function latchkeyProgram(main: string): Command {
  const program = new Command('latchkey')
    .description('Resets the password of a virtual machine whose owner has lost it, without ever seeing that password.')
    .version(VERSION)
    .showSuggestionAfterError(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
  registerServe(program, main);
  for (const role of ['gateway', 'web'] as const) registerRole(program, role);
  registerSigner(program);
  program.command('serve-web', { hidden: true }).action(() => runWeb());
  registerCommands(program);
  showExamples(program);
  return program;
}

function registerServe(program: Command, main: string): void {
  withSignIn(withMail(withListener(program.command('serve'))))
    .description('run the control plane: gateway, API and signer, over one data folder')
    .option(
      '--tls-self-signed',
      'make an authority and a certificate in the data folder, and renew the certificate (LATCHKEY_TLS_SELF_SIGNED=yes)',
    )
    .option('--agent-listen <host:port>', 'a listener of their own for agents (LATCHKEY_AGENT_LISTEN)')
    .option('--command-key-program <file>', COMMAND_KEY_PROGRAM)
    .option('--user <name|uid>', 'as root: who gateway and API are (account latchkey, else a number)')
    .option('--signer-user <name|uid>', 'as root: who the signer is (account latchkey-signer, else a number)')
    .action(async (flags: ServeFlags) => {
      const signerArgv = (data: string, settings: SignerSettings) => [
        ...[main, 'signer', '--data', data],
        ...['--settings', JSON.stringify(settings)],
      ];
      await untilAsked(flags, async () => {
        const options = readServeOptions(flags, process.env);
        const users = usersOf(flags);
        const why = users && whyNotApart(options, users);
        if (!users || why) {
          const serving = await serve(options, signerArgv);
          if (why) process.stderr.write(`${errorLine(new Failure('SIGNER_NOT_APART', why))}\n`);
          return serving;
        }
        return serveApart(options, users, { signerArgv, webArgv: [main, 'serve-web'] });
      });
    });
}

function registerRole(program: Command, role: 'gateway' | 'web'): void {
  const what = role === 'gateway' ? 'the WebSockets of agents' : 'the API';
  const command = withSigner(withListener(program.command(role)));
  (role === 'web' ? withSignIn(withMail(command)) : command)
    .description(`run ${what} alone, one of several over one PostgreSQL (\`latchkey migrate\` comes first)`)
    .action((flags: ServeFlags) =>
      untilAsked(flags, async () => serveRole(readServeOptions(flags, process.env), role, usersOf(flags))),
    );
}

function registerSigner(program: Command): void {
  withMail(program.command('signer'))
    .description('run the signer alone, for gateways and webs of other hosts')
    .option('--data <folder>', 'data folder (LATCHKEY_DATA, else ~/.local/share/latchkey)')
    .option('--listen <host:port>', 'address to listen on, else the socket in the data folder (LATCHKEY_SIGNER_LISTEN)')
    .option('--tls-cert <file>', 'its certificate, PEM (LATCHKEY_TLS_CERT_FILE)')
    .option('--tls-key <file>', 'its private key, PEM, mode 0600 (LATCHKEY_TLS_KEY_FILE)')
    .option('--client-ca <file>', 'authority whose certificates gateways and webs show, PEM (LATCHKEY_CLIENT_CA_FILE)')
    .option('--public-url <url>', 'address that operators use: where their passkeys live (LATCHKEY_PUBLIC_URL)')
    .option('--command-key-program <file>', COMMAND_KEY_PROGRAM)
    .option('--json', 'print one JSON object a line, as it does anyway')
    .addOption(new Option('--settings <json>').hideHelp())
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .action(({ settings, ...flags }: SignerProcessFlags & Readonly<{ settings?: string }>) => {
      if (settings !== undefined) return runSigner(flags.data ?? '', JSON.parse(settings) as Partial<SignerSettings>);
      const data = resolve(flags.data ?? defaultDataFolder(process.env));
      // As `serve` left it: the keys are the signer's own where it is a user of its own.
      const apart = isApart(pathsIn(data)) ? (usersOf({})?.signer ?? null) : null;
      return runSigner(data, { ...readSignerSettings(flags, process.env), apart });
    });
}

/** Runs what `begin` starts until a signal comes, or until it ends by itself. */
async function untilAsked({ json }: Pick<ServeFlags, 'json'>, begin: () => Promise<Serving>): Promise<void> {
  // Listened to from the beginning: a signal that comes during the start ends it in order, too.
  const asked = askedToStop();
  const { url, data, ended, stop } = await begin();
  print(json ? JSON.stringify({ event: 'listening', url, data }) : `Latchkey listens on ${url} (data in ${data})`);
  await Promise.race([asked, ended]);
  setTimeout(() => {
    process.stderr.write('latchkey: the end took too long and was cut short\n');
    process.exit(EXIT_FAILED);
  }, STOP_MS_MAX).unref();
  await stop();
  if (json) print(JSON.stringify({ event: 'stopped' }));
}

function usersOf(flags: UserFlags): Users | null {
  return readUsers(flags, { isRoot: process.getuid?.() === 0, passwd: passwdText() });
}

function withListener(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder (LATCHKEY_DATA, else ~/.local/share/latchkey)')
    .option('--listen <host:port>', `address to listen on (LATCHKEY_LISTEN, else ${LISTEN_DEFAULT})`)
    .option('--public-url <url>', 'address that operators use (LATCHKEY_PUBLIC_URL)')
    .option('--agent-url <url>', 'address that agents use (LATCHKEY_AGENT_URL)')
    .option('--tls-cert <file>', 'certificate, PEM; without it loopback addresses alone (LATCHKEY_TLS_CERT_FILE)')
    .option('--tls-key <file>', 'its private key, PEM (LATCHKEY_TLS_KEY_FILE)')
    .option('--ca <file>', 'the authority that issued it, PEM: agents accept no other (LATCHKEY_CA_FILE)')
    .option('--trusted-proxy <addresses>', 'proxies whose X-Forwarded-For is believed (LATCHKEY_TRUSTED_PROXY)')
    .option('--agent-proxy <addresses>', 'proxies that send agents on with a PROXY line (LATCHKEY_AGENT_PROXY)')
    .option('--connections-max <n>', 'connections of operators in all (LATCHKEY_CONNECTIONS_MAX)')
    .option('--connections-per-address-max <n>', 'and of one address (LATCHKEY_CONNECTIONS_PER_ADDRESS_MAX)')
    .option('--agent-connections-max <n>', 'connections of agents in all (LATCHKEY_AGENT_CONNECTIONS_MAX)')
    .option(
      '--agent-connections-per-address-max <n>',
      'and of one address (LATCHKEY_AGENT_CONNECTIONS_PER_ADDRESS_MAX)',
    )
    .option('--database-url <url>', 'PostgreSQL, postgresql://user@host:port/name (LATCHKEY_DATABASE_URL)')
    .option('--database-password-file <file>', 'file with its password, mode 0600 (LATCHKEY_DATABASE_PASSWORD_FILE)')
    .option('--database-ca <file>', 'the authority that issued its certificate, PEM (LATCHKEY_DATABASE_CA_FILE)')
    .option('--keep-events-days <days>', 'how long events are kept, 90 without it (LATCHKEY_KEEP_EVENTS_DAYS)')
    .option('--keep-operations-days <days>', 'and operations that are over, 365 (LATCHKEY_KEEP_OPERATIONS_DAYS)')
    .option(
      '--webhook-allow <networks>',
      'where webhooks may go beside the Internet, 10.0.0.0/8,… (LATCHKEY_WEBHOOK_ALLOW)',
    )
    .option('--webhook-ca <file>', 'an authority of receivers beside the public ones, PEM (LATCHKEY_WEBHOOK_CA_FILE)')
    .option('--traces', 'send traces of requests to OTEL_EXPORTER_OTLP_ENDPOINT (LATCHKEY_TRACES=yes)')
    .option('--metrics-listen <host:port>', 'address for metrics, health and readiness (LATCHKEY_METRICS_LISTEN)')
    .option('--json', 'print one JSON object a line')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
}

function withSigner(command: Command): Command {
  return command
    .option('--signer <host:port>', 'the signer of another host, else its socket in the data folder (LATCHKEY_SIGNER)')
    .option('--signer-cert <file>', 'certificate to show it, PEM (LATCHKEY_SIGNER_CERT_FILE)')
    .option('--signer-key <file>', 'its private key, PEM, mode 0600 (LATCHKEY_SIGNER_KEY_FILE)')
    .option('--signer-ca <file>', 'the authority whose certificate it shows, PEM (LATCHKEY_SIGNER_CA_FILE)');
}

function withSignIn(command: Command): Command {
  return command
    .option('--oidc-issuer <url>', 'OpenID provider where people may sign in (LATCHKEY_OIDC_ISSUER)')
    .option('--oidc-client-id <id>', 'what this control plane is called there (LATCHKEY_OIDC_CLIENT_ID)')
    .option('--oidc-client-secret-file <file>', 'file with its secret there (LATCHKEY_OIDC_CLIENT_SECRET_FILE)');
}

function withMail(command: Command): Command {
  return command
    .option('--smtp-url <url>', 'server for mails to operators and owners, smtp(s)://host:port (LATCHKEY_SMTP_URL)')
    .option('--smtp-user <name>', 'user name there (LATCHKEY_SMTP_USER)')
    .option('--smtp-password-file <file>', 'file with the password, mode 0600 (LATCHKEY_SMTP_PASSWORD_FILE)')
    .option('--smtp-ca <file>', 'the authority that issued its certificate, PEM (LATCHKEY_SMTP_CA_FILE)')
    .option('--mail-from <address>', 'sender of these mails (LATCHKEY_MAIL_FROM)');
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
