// `latchkey project` and `latchkey api-key`: who works on which machines, and what programs may do in their name.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Right, type Role, rights, roles } from '../core/rights.ts';
import { type CommonOptions, onServer, withConnection } from './action.ts';
import { seconds } from './commands-reset.ts';
import { table, writeJson, writeLine } from './view/text.ts';

export const KEY_TTL_S_MAX = 31_536_000;

export function registerPeopleCommands(program: Command): void {
  registerProject(program.command('project').description('projects, and who is a member in which role'));
  registerApiKey(program.command('api-key').description('API keys of your own, for programs'));
}

function registerProject(project: Command): void {
  const list = withConnection(project.command('list')).description('your projects, and your role in each');
  onServer<CommonOptions>(list, async ({ api }, { json }) => {
    const { items } = await api.projects();
    if (json) for (const item of items) writeJson(item);
    else writeLine(table([['PROJECT', 'ROLE'], ...items.map(({ project, role }) => [project, role])]));
  });

  const create = withConnection(project.command('create')).description('a new project, of which you are the admin');
  onServer<CommonOptions>(create.argument('<project>'), async ({ api }, { json }, [name = '']) => {
    const made = await api.createProject(name);
    if (json) writeJson({ event: 'project', ...made });
    else writeLine(`Made the project ${made.project}.`);
  });

  const members = withConnection(project.command('members')).description('who is a member, in which role');
  onServer<CommonOptions>(members.argument('<project>'), async ({ api }, { json }, [name = '']) => {
    const { items } = await api.members(name);
    if (json) for (const item of items) writeJson(item);
    else writeLine(table([['OPERATOR', 'ROLE'], ...items.map(({ operator, role }) => [operator, role])]));
  });

  const join = withConnection(project.command('join'))
    .description('make an operator a member, or change their role')
    .argument('<project>')
    .argument('<operator>')
    .addOption(new Option('--role <role>', 'what they may do').choices(roles).makeOptionMandatory());
  onServer<CommonOptions & { role: Role }>(join, async ({ api }, { json, role }, [name = '', operator = '']) => {
    await api.putMember(name, { operator, role });
    if (json) writeJson({ event: 'member', project: name, operator, role });
    else writeLine(`${operator} is ${role} of ${name}.`);
  });

  const leave = withConnection(project.command('leave')).description('take a member out of a project');
  leave.argument('<project>').argument('<operator>');
  onServer<CommonOptions>(leave, async ({ api }, { json }, [name = '', operator = '']) => {
    await api.removeMember(name, operator);
    if (json) writeJson({ event: 'member', project: name, operator, role: null });
    else writeLine(`${operator} is no member of ${name} any more.`);
  });
}

type KeyOptions = CommonOptions & Readonly<{ name?: string; scopes?: Right[]; ttl?: number; project?: string }>;

function registerApiKey(apiKey: Command): void {
  const create = withConnection(apiKey.command('create'))
    .description('an API key for less than you may do, or as much; it is shown once')
    .option('--name <name>', 'what it is for')
    .option('--scopes <list>', `what may be done with it, of ${rights.join(', ')}; read without it`, scopesOf)
    .option('--ttl <seconds>', 'time to live: 90 days without it, a year at most', seconds(60, KEY_TTL_S_MAX))
    .option('--project <project>', 'good for this project alone');
  onServer<KeyOptions>(create, async ({ api }, { json, name, scopes, ttl, project }) => {
    const made = await api.createApiKey({
      ...(name === undefined ? {} : { name }),
      ...(scopes === undefined ? {} : { scopes }),
      ...(ttl === undefined ? {} : { ttl_s: ttl }),
      ...(project === undefined ? {} : { project }),
    });
    if (json) return writeJson({ event: 'api_key', ...made });
    writeLine(made.api_key);
    return writeLine(`Shown this once. Good for ${made.scopes.join(', ')} until ${made.expires_at} (${made.id}).`);
  });

  const list = withConnection(apiKey.command('list')).description('API keys and what they are good for');
  onServer<CommonOptions>(list, async ({ api }, { json }) => {
    const { items } = await api.apiKeys();
    if (json) for (const item of items) writeJson(item);
    else {
      const rows = items.map(({ id, operator, name, scopes, project, expires_at, state }) => [
        ...[id, operator, name ?? '', scopes.join(' '), project ?? '', state],
        expires_at ?? 'never',
      ]);
      writeLine(table([['ID', 'OPERATOR', 'NAME', 'SCOPES', 'PROJECT', 'STATE', 'EXPIRES'], ...rows]));
    }
  });

  const revoke = withConnection(apiKey.command('revoke')).description('make a key useless at once').argument('<id>');
  onServer<CommonOptions>(revoke, async ({ api }, { json }, [id = '']) => {
    await api.revokeApiKey(id);
    if (json) writeJson({ event: 'revoked', id });
    else writeLine(`Revoked ${id}.`);
  });
}

export function scopesOf(text: string): Right[] {
  const named = text.split(',');
  const known = rights.filter((right) => named.includes(right));
  if (known.length !== named.length) throw new InvalidArgumentError(`a list of ${rights.join(', ')}`);
  return known;
}
