// `latchkey vm create` and `vm remove`: machines to come, and those that shall not come after all.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { GRACE_S_MAX } from '../../protocol/limits.ts';
import { labelName, labelValue } from '../api/schemas-lists.ts';
import { deliveries } from '../core/join-material.ts';
import { type CommonOptions, onServer, withConnection } from './action.ts';
import { seconds, withProof } from './commands-reset.ts';
import { type CreateOptions, createMachine } from './create.ts';
import { printable, writeJson, writeLine } from './view/text.ts';

export function registerCreate(vm: Command): void {
  const create = withProof(withConnection(vm.command('create')))
    .description('register a machine to come, with the first passwords that it will be given')
    .argument('<name>')
    .option('--account <name>', 'its user, instead of the image’s administrator')
    .option('--project <project>', 'whose machine it is')
    .option('--independent', 'a VNC password of its own, instead of the account’s')
    .option('--no-vnc', 'it has no VNC server')
    .option('--server <kind:port>', 'the VNC server, where there are several (tigervnc:5901)')
    .option('--label <name=value>', 'a label; may be given several times', labelsOf)
    .option('--grace <seconds>', 'time for what else its first boot does', seconds(0, GRACE_S_MAX))
    .option('--ttl <seconds>', 'how long it may take to come (an hour at most)', seconds(60, 3_600))
    .option('--instance <uuid>', 'SMBIOS system UUID of the one instance that may come')
    .addOption(new Option('--as <way>', 'how the join token gets into it').choices(deliveries).default('nocloud'))
    .option('-o, --output <path>', 'write that to this file, or into this folder')
    .option('-y, --yes', 'do not ask for confirmation')
    .option('--wait', 'watch until it is there and has its passwords')
    .option('--reveal', 'with --wait and --json: print the passwords in the last line');
  onServer<CreateOptions>(create, (client, options, [name = '']) => createMachine(client, name, options));

  const remove = withConnection(vm.command('remove'))
    .description('take back a machine that has not come: its join token admits nobody any more')
    .argument('<vm>', 'id or name');
  onServer<CommonOptions>(remove, async ({ api }, { json }, [name = '']) => {
    const machine = await api.removeVm(name);
    if (json) writeJson(machine);
    else writeLine(`It will not come: ${printable(name)}.`);
  });
}

type Labels = Readonly<Record<string, string>>;

function labelsOf(word: string, before: Labels = {}): Labels {
  const [, name, value] = /^([^=]+)=(.*)$/.exec(word) ?? [];
  if (!labelName.safeParse(name).success || !labelValue.safeParse(value).success) {
    throw new InvalidArgumentError('a label as in tier=web.');
  }
  return { ...before, [name ?? '']: value ?? '' };
}
