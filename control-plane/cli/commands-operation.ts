// `latchkey op`: look at operations, watch one to its end, cancel one.

import type { Command } from 'commander';
import { states } from '../../protocol/lifecycle.ts';
import type { OperationView } from '../api/schemas.ts';
import { type CommonOptions, interruptible, onServer, withConnection } from './action.ts';
import { type ApproveOptions, approveOperation } from './approve.ts';
import type { Client } from './client/client.ts';
import { seconds, withProof } from './commands-reset.ts';
import { exitCodeOfState } from './exit-codes.ts';
import { UsageError } from './prompts.ts';
import { report } from './report.ts';
import type { ResetEvent } from './reset/request.ts';
import { follow } from './reset/reset.ts';
import { endingLines, gapText, moveText } from './view/outcome.ts';
import { openProgress } from './view/progress.ts';
import { durationText, fields, table, writeJson, writeLine } from './view/text.ts';

type ListOptions = CommonOptions & Readonly<{ vm?: string; state?: string; limit?: number }>;
type WatchOptions = CommonOptions & Readonly<{ timeout?: number; reveal?: boolean }>;

export function registerOperationCommands(program: Command): void {
  const op = program.command('op').description('operations: resets under way and past ones');

  const list = withConnection(op.command('list'))
    .description('newest operations first')
    .option('--vm <vm>', 'of one machine')
    .option('--state <state>', `in one state (${states.join(', ')})`)
    .option('--limit <count>', 'at most this many', seconds(1, 500));
  onServer<ListOptions>(list, async ({ api }, options) => {
    if (options.state !== undefined && !(states as readonly string[]).includes(options.state)) {
      throw new UsageError(`--state is one of ${states.join(', ')}`);
    }
    const { vm, state, limit } = options;
    const { items } = await api.operations({
      ...(vm === undefined ? {} : { vm }),
      ...(state === undefined ? {} : { state }),
      limit: limit ?? 20,
    });
    if (options.json) for (const item of items) writeJson(item);
    else writeLine(items.length === 0 ? 'No operations.' : table([OPERATION_HEAD, ...items.map(operationRow)]));
  });

  const show = withConnection(op.command('show')).description('one operation').argument('<op>');
  onServer<CommonOptions>(show, async ({ api }, { json }, [id = '']) => {
    const view = await api.operation(id);
    if (json) writeJson(view);
    else showOperation(view);
  });

  const watch = withConnection(op.command('watch'))
    .description('watch an operation to its end; shows its generated passwords where it was started here')
    .argument('<op>')
    .option('--timeout <seconds>', 'stop watching after this long; the operation goes on', seconds(1, 7 * 86_400))
    .option('--reveal', 'with --json: print generated passwords in the last line');
  onServer<WatchOptions>(watch, (client, options, [id = '']) => watchToEnd(client, id, options));

  const approve = withProof(withConnection(op.command('approve')))
    .description('approve what another operator asked for, where two people have to')
    .argument('<op>')
    .option('-y, --yes', 'do not ask for confirmation');
  onServer<ApproveOptions>(approve, (client, options, [id = '']) => approveOperation(client, id, options));

  const cancel = withConnection(op.command('cancel'))
    .description('cancel an operation: before it changed anything, or else only its restart')
    .argument('<op>');
  onServer<CommonOptions>(cancel, async ({ api }, { json }, [id = '']) => {
    const view = await api.cancel(id);
    if (json) writeJson({ event: 'cancel', op: view.op, state: view.state, code: view.code });
    else if (view.state === 'CANCELLED') writeLine('Cancelled: nothing was changed.');
    else writeLine(`The machine was asked to cancel. See what it answers:  latchkey op watch ${view.op}`);
  });
}

async function watchToEnd(client: Client, id: string, options: WatchOptions): Promise<number> {
  const first = await client.api.operation(id);
  const screen = openProgress({ json: options.json ?? false });
  return interruptible(async (signal) => {
    const onEvent = (event: ResetEvent) => {
      if (event.event === 'progress') screen.show(event.operation);
      else if (event.event === 'unreachable') screen.unreachable(event.code);
      else if (event.event === 'reachable') screen.reachable();
    };
    const timeout = options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1_000 };
    try {
      const request = { ...timeout, waitWhileOverdue: true, signal };
      const outcome = await follow(client, first, { request, observer: { onEvent } });
      await screen.close();
      return await report(client, outcome, { json: options.json ?? false, reveal: options.reveal ?? false });
    } finally {
      await screen.close();
    }
  });
}

const OPERATION_HEAD = ['OPERATION', 'MACHINE', 'STATE', 'CODE', 'OPERATOR', 'CREATED'];

function operationRow({ op, vm_name, state, overdue, code, operator, created_at }: OperationView): string[] {
  return [op, vm_name, overdue ? `${state} (OVERDUE)` : state, code ?? '', operator, created_at];
}

function showOperation(view: OperationView): void {
  const { account, vnc } = view;
  writeLine(
    fields([
      ['operation', view.op],
      ['machine', `${view.vm_name} (${view.vm})`],
      ['state', view.overdue ? `${view.state} (OVERDUE)` : view.state],
      ['operator', view.operator],
      ['approved', view.approved_at ?? (view.awaits_second ? 'by one of two people' : 'no')],
      ['account', account ? `${account.name ?? 'the default administrator'}, ${account.mode}` : 'not asked for'],
      ['vnc', vnc ? `${vnc.server ?? 'the machine’s server'}, ${vnc.mode}` : 'not asked for'],
      ['grace', `${view.grace_s} s`],
      ...(view.not_before
        ? [['window', `${view.not_before} to ${view.not_after ?? 'nobody’s approval yet'}`] as const]
        : []),
      ['created', view.created_at],
      ['ended', view.ended_at ?? 'no'],
    ]),
  );
  if (view.receipts.length > 0) {
    writeLine('\nSigned by the machine:');
    for (const { n, at, state, code } of view.receipts) writeLine(`  ${n}  ${at}  ${moveText(state, code)}`);
  }
  if (view.gap !== null) writeLine(`\n${gapText(view.gap)}`);
  writeLine('\nTime spent:');
  for (const { state, ms, measured_by: by } of view.times) {
    const clock = by === 'machine' ? 'the machine’s clock' : 'the control plane’s clock';
    writeLine(
      `  ${state}  ${ms === null ? 'not known: the machine was heard of later' : `${durationText(ms)}, by ${clock}`}`,
    );
  }
  if (!view.ended) writeLine(`  ${view.state}  ${durationText(view.state_ms)} so far`);
  if (!view.ended) return;
  writeLine();
  for (const line of endingLines(view)) writeLine(line);
  if (exitCodeOfState(view.state) === 0 && view.sealed) {
    writeLine(`A generated password waits to be shown once:  latchkey op watch ${view.op}`);
  }
}
