// `latchkey audit`: what the signer did, for those who run it (list, export: on its host) and for those who do not (verify: anywhere).

import { type Command, Option } from 'commander';
import { onHost, withJson } from './action.ts';
import { type ExportOptions, exportAudit, type ListOptions, listAudit } from './audit/host.ts';
import { type VerifyOptions, verifyExport } from './audit/verify.ts';
import { seconds } from './commands-reset.ts';

const ROWS_MAX = 10_000;
const NUMBER_MAX = Number.MAX_SAFE_INTEGER;

export function registerAuditCommands(program: Command): void {
  const audit = program
    .command('audit')
    .description('the signer’s chained log: intents, proofs, commands, receipts, refusals, keys');

  const list = withJson(audit.command('list'))
    .description('rows of the audit, newest first (on this host)')
    .option('--kind <kind>', 'only rows of that kind, such as command.signed')
    .option('--op <op>', 'only rows of that operation')
    .option('--operator <name>', 'only rows of that operator')
    .option('--since <time>', 'only rows from that time on, such as 2026-01-31T12:00:00Z')
    .option('--until <time>', 'only rows up to that time')
    .option('--before <row>', 'only rows before that one: the next page', seconds(1, NUMBER_MAX))
    .option('--limit <count>', 'how many rows', seconds(1, ROWS_MAX), 50);
  onHost<ListOptions>(list, (options) => listAudit(options));

  const exported = withJson(audit.command('export'))
    .description('write the whole audit for others to verify (on this host)')
    .requiredOption('-o, --output <file>', 'file to write');
  onHost<ExportOptions>(exported, (options) => exportAudit(options));

  const verify = withJson(audit.command('verify'))
    .description('check an exported audit with public keys alone: needs no server, no data folder and no network')
    .requiredOption('--export <file>', 'the export')
    .addOption(
      new Option('--root <file>', 'a trust file or root of the installation that you trust').conflicts(
        'rootFingerprint',
      ),
    )
    .option('--root-fingerprint <hash>', 'the fingerprint of such a root, as `latchkey keys show` says it')
    .option('--head <hash>', 'a head noted earlier: the audit must still contain it');
  onHost<VerifyOptions>(verify, (options) => verifyExport(options));
}
