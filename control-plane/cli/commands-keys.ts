// `latchkey keys`: the keys of the installation. Files and no network: the ceremony runs on a machine that has none, the rest
// on the control plane's own host.

import { type Command, Option } from 'commander';
import type { OnlineRole } from '../config/authority.ts';
import { onHost, withJson } from './action.ts';
import { seconds } from './commands-reset.ts';
import { checkDraft, type DraftOptions, draftRoot, makeRootKey, signRootDraft } from './keys/ceremony.ts';
import { exportRoot, publishDraft, type RotateOptions, rotateKey, rotateOperators, showRoot } from './keys/host.ts';
import { UsageError } from './prompts.ts';

type Json = Readonly<{ json?: boolean }>;

/** A year: roots are meant to be renewed. */
const DAYS = 365;

export function registerKeysCommands(program: Command): void {
  const keys = program
    .command('keys')
    .description('keys that sign: the root, and the two that it names (on this host, or offline)');

  const show = withJson(keys.command('show')).description('the root in force on this host');
  onHost<Json>(show, (options) => showRoot(options));

  const exported = withJson(keys.command('export'))
    .description('write the root in force, for a ceremony (nothing secret)')
    .option('-o, --output <file>', 'file to write; standard output without it');
  onHost<Json & { output?: string }>(exported, (options) => exportRoot(options));

  const rotate = withJson(keys.command('rotate'))
    .description('replace an online key, or name the keys that operators have now; those before count no more')
    .argument('<role>', 'command, session or operators')
    .option('--held', 'command: name the one that the key program or the credential holds, instead of making one')
    .option('-o, --output <file>', 'draft to write where the root keys are offline');
  rotate.addOption(days());
  onHost<RotateOptions>(rotate, (options, [role = '']) =>
    role === 'operators' ? rotateOperators(options) : rotateKey(roleOf(role), options),
  );

  const publish = withJson(keys.command('publish'))
    .description('put a signed root in force on this host')
    .argument('<draft>');
  onHost<Json>(publish, (options, [draft = '']) => publishDraft(draft, options));

  const init = withJson(keys.command('init'))
    .description('make an offline root key: FILE, and FILE.pub for the ceremony')
    .argument('<file>');
  onHost<Json>(init, (options, [file = '']) => makeRootKey(file, options));

  registerCeremony(keys.command('ceremony').description('the next root, drafted and signed offline'));
}

function registerCeremony(ceremony: Command): void {
  const draft = withJson(ceremony.command('draft'))
    .description('write the next root, unsigned')
    .requiredOption('--root <file>', 'the root in force, as `latchkey keys export` wrote it')
    .option('--root-key <file...>', 'public halves of all root keys of the new version; as before without it')
    .option('--threshold <count>', 'how many of them must sign', seconds(1, 16))
    .option('--command <file>', 'public half of the command key; as before without it')
    .option('--session <file>', 'public half of the session key; as before without it')
    .addOption(
      new Option('--channel-binding <policy>', 'whether agents and gateway bind to their TLS session').choices([
        'required',
        'off',
      ]),
    )
    .option('--operators <file>', 'keys that machines check proofs with, as `latchkey operator export` wrote them')
    .addOption(
      new Option('--operator-proof <policy>', 'whether machines demand a proof that they can check').choices([
        'required',
        'off',
      ]),
    )
    .requiredOption('-o, --output <file>', 'draft to write')
    .addOption(days());
  onHost<DraftOptions>(draft, (options) => draftRoot(options));

  const sign = withJson(ceremony.command('sign'))
    .description('show a draft, and add one signature to it')
    .argument('<draft>')
    .requiredOption('--key <file>', 'a root key of the version in force, or of the new one');
  onHost<Json & { key: string }>(sign, (options, [file = '']) => signRootDraft(file, options));

  const check = withJson(ceremony.command('check'))
    .description('say whether enough keys have signed')
    .argument('<draft>')
    .requiredOption('--root <file>', 'the root in force');
  onHost<Json & { root: string }>(check, (options, [file = '']) => checkDraft(file, options));
}

function roleOf(text: string): OnlineRole {
  if (text !== 'command' && text !== 'session') throw new UsageError('the role is command, session or operators');
  return text;
}

function days(): Option {
  return new Option('--days <count>', 'until it ends').argParser(seconds(1, 3_650)).default(DAYS);
}
