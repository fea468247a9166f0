// `latchkey reset --label` and `latchkey bulk`: one proof for many machines, a table of what became of each, and a stop.

import type { Command } from 'commander';
import { Failure } from '../../protocol/failure.ts';
import type { BulkResult, BulkView } from '../api/schemas-bulk.ts';
import { type CommonOptions, interruptible, onServer, withConnection } from './action.ts';
import type { Client } from './client/client.ts';
import { dropRecipient } from './client/recipients.ts';
import { EXIT, exitCodeOfState } from './exit-codes.ts';
import { canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import { demandProof, openProver, type ProofOptions } from './prover.ts';
import { reportSecrets } from './report.ts';
import { type BulkReset, followBulk, runBulk } from './reset/bulk.ts';
import { fields, printable, table, writeJson, writeLine, writeNote } from './view/text.ts';

export type BulkOptions = Readonly<{ json: boolean; yes: boolean; reveal: boolean; detach: boolean }>;
type WatchOptions = CommonOptions & Readonly<{ reveal?: boolean }>;

export function registerBulkCommands(program: Command): void {
  const bulk = program.command('bulk').description('resets of many machines that one proof covers');

  const list = withConnection(bulk.command('list')).description('newest first');
  onServer<CommonOptions>(list, async ({ api }, { json }) => {
    const { items } = await api.bulks();
    if (json) for (const item of items) writeJson(item);
    else if (items.length === 0) writeLine('No bulk submissions.');
    else
      writeLine(
        table([HEAD, ...items.map((one) => [one.bulk, one.state, `${one.machines}`, one.operator, one.created_at])]),
      );
  });

  const watch = withConnection(bulk.command('watch'))
    .description('watch one to its end; shows its generated passwords where it was started here')
    .argument('<bulk>')
    .option('--reveal', 'with --json: print generated passwords');
  onServer<WatchOptions>(watch, (client, { json = false, reveal = false }, [op = '']) =>
    watchBulk(client, op, { json, reveal }),
  );

  const stop = withConnection(bulk.command('stop'))
    .description('end what has not been sent to its machine; what was sent goes on')
    .argument('<bulk>');
  onServer<CommonOptions>(stop, async ({ api }, { json = false }, [op = '']) => {
    const view = await api.stopBulk(op);
    showResults(view, json);
  });
}

const HEAD = ['BULK', 'STATE', 'MACHINES', 'OPERATOR', 'MADE'];

/** The exit code: that of the machine that fared worst. */
export async function resetMany(
  client: Client,
  asked: BulkReset,
  { proof, ...options }: BulkOptions & Readonly<{ proof: ProofOptions }>,
): Promise<number> {
  if (!canAsk() || proof.codeStdin) {
    if (!options.yes) throw new UsageError('nobody can be asked here: give --yes');
    demandProof(proof);
  }
  let lines: ReturnType<typeof secretLines> | undefined;
  const prover = await openProver(proof, () => {
    lines ??= secretLines();
    return lines();
  });
  const bulk = await runBulk(client, asked, {
    ...prover,
    async confirm(draft) {
      showDraft(draft, options.json);
      return options.yes || confirm(`Reset and restart these ${draft.machines} machines?`);
    },
  });
  if (options.json) writeJson({ event: 'approved', bulk: bulk.bulk, awaitsSecond: bulk.awaits_second });
  else writeLine(bulk.awaits_second ? 'Somebody else has to approve it, too.' : `Approved as ${bulk.bulk}.`);
  if (options.detach || bulk.awaits_second) return EXIT.done;
  return watchBulk(client, bulk.bulk, options);
}

function showDraft({ bulk, results, account, vnc, grace_s, concurrency }: BulkView, json: boolean): void {
  const named = results.filter(({ ended }) => !ended).map(({ vm_name }) => vm_name);
  const leftOut = results.filter(({ ended }) => ended).map(({ vm_name, code }) => `${vm_name} (${code})`);
  if (json) writeJson({ event: 'created', bulk, machines: named, leftOut });
  else showDraftText(named, leftOut, { account, vnc, grace_s, concurrency });
}

type Parts = Pick<BulkView, 'account' | 'vnc' | 'grace_s' | 'concurrency'>;

function showDraftText(named: string[], leftOut: string[], { account, vnc, grace_s, concurrency }: Parts): void {
  writeNote(
    fields([
      ['machines', printable(named.join(', '))],
      ...(leftOut.length > 0 ? [['left out', printable(leftOut.join(', '))] as const] : []),
      ['account', account ? `${account.name ?? 'the default administrator of each'}, generated password` : 'none'],
      ['VNC', vnc ? `${vnc.server ?? 'the server of each'}, generated password` : 'none'],
      ['restart', `each, after ${grace_s} s, ${concurrency} at a time`],
      ['it can cost', 'unsaved work, and what is encrypted with the old passwords'],
    ]),
  );
}

type Shown = Readonly<{ json: boolean; reveal: boolean }>;

async function watchBulk(client: Client, op: string, { json, reveal }: Shown): Promise<number> {
  return interruptible(async (signal) => {
    const view = await followBulk(client, op, { signal, show: (seen) => json || writeNote(progressLine(seen)) });
    if (signal.aborted) {
      writeNote(`It goes on. Watch it again with: latchkey bulk watch ${op}`);
      return EXIT.interrupted;
    }
    showResults(view, json);
    if (!json || reveal) await showPasswords(client, view, json);
    return exitCodeOf(view);
  });
}

function progressLine({ results }: BulkView): string {
  const counts = Map.groupBy(results, ({ state }) => state ?? 'DRAFT');
  return [...counts].map(([state, those]) => `${those.length} ${state}`).join(', ');
}

function showResults({ bulk, state, results }: BulkView, json: boolean): void {
  if (!json) writeLine(table([['MACHINE', 'RESULT', 'CODE', 'OPERATION'], ...results.map(row)]));
  else {
    for (const { vm_name: vm, op, state: reached, code, warnings } of results) {
      writeJson({ event: 'result', vm, op, state: reached, code, warnings });
    }
    writeJson({ event: 'done', bulk, state });
  }
}

function row({ vm_name, op, state, code, warnings }: BulkResult): string[] {
  return [vm_name, state ?? 'not begun', [code ?? '', ...warnings].filter(Boolean).join(' '), op ?? ''];
}

/** The key goes when every machine has ended. */
async function showPasswords(client: Client, { bulk, results, state }: BulkView, json: boolean): Promise<void> {
  for (const { op } of results) if (op !== null) await reportSecrets(client, await client.api.operation(op), json);
  if (state === 'ENDED') await dropRecipient(client.stateFolder, bulk);
}

function exitCodeOf({ results, state, code }: BulkView): number {
  if (state === 'EXPIRED' || state === 'VOID')
    throw new Failure(state === 'VOID' ? 'STATE_CONFLICT' : 'EXPIRED', { code });
  const codes = results.map(({ state }) => (state === null ? EXIT.cancelled : exitCodeOfState(state)));
  const worst = [EXIT.failed, EXIT.partial, EXIT.late, EXIT.refused, EXIT.cancelled];
  return worst.find((one) => codes.includes(one)) ?? EXIT.done;
}
