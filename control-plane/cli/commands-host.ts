// `latchkey token`, `operator` and `trust`: what is needed around resets. `operator` works on the control plane's own host,
// because factors are registered with the signer and never over the network.

import { type Command, Option } from 'commander';
import { pathsIn } from '../config/paths.ts';
import { type Delivery, deliveries, materialOf } from '../core/join-material.ts';
import { type Role, roles } from '../core/rights.ts';
import { adminClient } from '../signer/client.ts';
import { type CommonOptions, onHost, onServer, withConnection, withJson } from './action.ts';
import type { Api } from './client/api.ts';
import { seconds } from './commands-reset.ts';
import { dataFolder } from './connection.ts';
import { addOperator, exportOperators, type OperatorOptions, recoverOperator } from './operator.ts';
import { registerPolicy } from './operator-policy.ts';
import { UsageError } from './prompts.ts';
import { instructions, writeMaterial } from './token-delivery.ts';
import { exportTrust, type TrustOptions } from './trust.ts';
import { fields, table, writeJson, writeLine, writeNote } from './view/text.ts';

export function registerHostCommands(program: Command): void {
  registerToken(program.command('token').description('join tokens, with which machines enrol'));
  registerOperator(program.command('operator').description('people and programs that may reset (on this host)'));

  const trust = program.command('trust').description('the trust file that is baked into images');
  const command = withConnection(trust.command('export'))
    .description('write trust.json: where the control plane is, its authority and its root (nothing secret)')
    .option('--agent-url <address...>', 'where agents connect (wss://…), instead of what the control plane says')
    .option('-o, --output <file>', 'file to write; standard output without it');
  onServer<TrustOptions>(command, ({ api }, options) => exportTrust(api, options));
}

type InviteOptions = CommonOptions & Readonly<{ email: string; role: Role; project?: string }>;

type CreateOptions = CommonOptions &
  Readonly<{
    name?: string;
    ttl?: number;
    uses?: number;
    instance?: string;
    project?: string;
    as?: Delivery;
    output?: string;
  }>;

function registerToken(token: Command): void {
  const create = withConnection(token.command('create'))
    .description('a token with which a machine enrols; it is shown once')
    .option('--name <name>', 'name of the machine; its host name without it')
    .option('--uses <count>', 'how many machines it may make: a group that grows by itself', seconds(1, 10_000))
    .option('--ttl <seconds>', 'time to live: an hour at most, or 30 days with --uses', seconds(1, 2_592_000))
    .option('--instance <uuid>', 'SMBIOS system UUID of the only machine that may use it')
    .addOption(new Option('--as <delivery>', 'in the form in which the machine gets it').choices(deliveries))
    .option('--project <project>', 'whose machines it makes; the installation’s own project without it')
    .option('-o, --output <path>', 'the file, or with --as nocloud the folder, to write it to; it is then not shown');
  onServer<CreateOptions>(create, ({ api }, options) => createToken(api, options));

  const list = withConnection(token.command('list')).description('tokens and what became of them');
  onServer<CommonOptions>(list, async ({ api }, { json }) => {
    const { items } = await api.joinTokens();
    if (json) for (const item of items) writeJson(item);
    else if (items.length === 0) writeLine('No join tokens.');
    else {
      const rows = items.map(({ id, name, state, expires_at, vm, uses, uses_max }) => [
        id,
        name ?? '',
        state,
        `${uses} of ${uses_max}`,
        expires_at,
        vm ?? '',
      ]);
      writeLine(table([['ID', 'NAME', 'STATE', 'USED', 'EXPIRES', 'LAST MACHINE'], ...rows]));
    }
  });

  const revoke = withConnection(token.command('revoke')).description('make a token useless').argument('<id>');
  onServer<CommonOptions>(revoke, async ({ api }, { json }, [id = '']) => {
    await api.revokeJoinToken(id);
    if (json) writeJson({ event: 'revoked', id });
    else writeLine(`Revoked ${id}.`);
  });
}

async function createToken(api: Api, options: CreateOptions): Promise<void> {
  const { json, name, ttl, uses, instance, project, output, as } = options;
  const body = {
    ...(name === undefined ? {} : { name }),
    ...(ttl === undefined ? {} : { ttl_s: ttl }),
    ...(uses === undefined ? {} : { uses }),
    ...(instance === undefined ? {} : { instance }),
    ...(project === undefined ? {} : { project }),
  };
  const { token, ...created } = await api.createJoinToken(body);
  const material = materialOf(as ?? 'file', { id: created.id, token });
  if (output === undefined) {
    if (json) writeJson({ ...created, token, ...(as === undefined ? {} : { material }) });
    else writeLine(material[0]?.text.trimEnd());
  } else {
    const files = await writeMaterial(material, output).catch(async (error: unknown) => {
      // Nobody has it, and nobody shall.
      await api.revokeJoinToken(created.id);
      throw error;
    });
    if (json) writeJson({ ...created, files });
    else writeLine(`Wrote ${files.join(', ')}.`);
  }
  if (json) return;
  const machines = uses === undefined || uses === 1 ? 'one machine' : `${uses} machines`;
  const seen = output === undefined ? 'Shown this once. ' : '';
  writeNote(`${seen}It works for ${machines} until ${created.expires_at} (${created.id}).`);
  for (const line of instructions(as ?? 'file', output)) writeNote(line);
}

function registerOperator(operator: Command): void {
  const add = withConnection(operator.command('add'))
    .description('add an operator with a verification method and an API key, or a method to an operator')
    .argument('<name>')
    .option('--totp', 'an authenticator app (the default)')
    .option('--key <file>', 'an Ed25519 key for automation: a JWK, of which the public half is registered')
    .option('--generate-key <file>', 'make such a key, written to this file with mode 0600')
    .option('--email <address>', 'codes by mail to this address')
    .option('--passkey', 'an invitation to register a passkey in the operator’s own browser, within 15 minutes')
    .option('--recovery-codes', 'codes for when everything else is lost, each for one use; those before are void')
    .addOption(
      new Option('--role <role>', 'what a new operator may do in the project; admin without it').choices(roles),
    )
    .option('--project <project>', 'of which project a new operator is a member; the installation’s own without it');
  onServer<OperatorOptions>(add, (client, options, [name = '']) => {
    const { totp, key, generateKey, email, passkey, recoveryCodes } = options;
    const ways = [totp, key, generateKey, email, passkey, recoveryCodes].filter((way) => way !== undefined);
    if (ways.length > 1) {
      throw new UsageError('--totp, --key, --generate-key, --email, --passkey and --recovery-codes exclude each other');
    }
    return addOperator(client, name, options);
  });

  const invite = withConnection(operator.command('invite'))
    .description('invite a person to sign in as an operator; the link is shown once')
    .argument('<name>')
    .requiredOption('--email <address>', 'theirs, also at the provider of single sign-on')
    .addOption(new Option('--role <role>', 'what they may do in the project').choices(roles).makeOptionMandatory())
    .option('--project <project>', 'of which project they become a member; the installation’s own without it');
  onServer<InviteOptions>(invite, async ({ api }, { json, email, role, project }, [name = '']) => {
    const asked = { operator: name, email, role, ...(project === undefined ? {} : { project }) };
    const { link, mailed, expires_at } = await api.invite(asked);
    if (json) writeJson({ event: 'invited', operator: name, email, role, link, mailed, expires_at });
    else {
      const how = mailed ? `Mailed to ${email}, and shown` : 'Shown';
      writeLine(`${link}\n${how} this once. Whoever opens it until ${expires_at} signs in as ${name}.`);
    }
  });

  const exported = withJson(operator.command('export'))
    .description('write the public keys of operators, for a root whose machines check proofs themselves')
    .requiredOption('-o, --output <file>', 'file to write');
  onHost<Readonly<{ json?: boolean; output: string }>>(exported, (options) => exportOperators(options));

  const recover = withJson(operator.command('recover'))
    .description('replace all verification methods of an operator who has lost them; recorded and alarmed')
    .argument('<name>');
  onHost<Readonly<{ json?: boolean }>>(recover, (options, [name = '']) => recoverOperator(name, options));

  registerPolicy(operator);

  const list = withJson(operator.command('list')).description('operators and their verification methods');
  onHost<Readonly<{ json?: boolean }>>(list, async ({ json }) => {
    const { operators } = await adminClient(pathsIn(dataFolder()).adminSocket)('operator.list', {});
    if (json) for (const entry of operators) writeJson(entry);
    else if (operators.length === 0) writeLine('No operator has a verification method yet.');
    else {
      const pairs = operators.map(({ name, factors, recovery_codes }) => {
        const ways = factors.map(({ kind, kid }) => (kid === null ? kind : `${kind} ${kid}`));
        if (recovery_codes > 0) ways.push(`recovery codes: ${recovery_codes}`);
        return [name, ways.join(', ') || 'no verification method'] as const;
      });
      writeLine(fields(pairs));
    }
  });
}
