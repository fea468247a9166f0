// `latchkey vm`: which machines there are, what is known of one, and what happens on them.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { codes } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import type { VmView } from '../api/schemas.ts';
import { labelName, labelValue, vmStates } from '../api/schemas-lists.ts';
import { type CommonOptions, interruptible, onServer, withConnection } from './action.ts';
import type { HistoryEvent, VmFilter } from './client/api.ts';
import type { Client } from './client/client.ts';
import { registerCreate } from './commands-create.ts';
import { withProof } from './commands-reset.ts';
import { UsageError } from './prompts.ts';
import { type ReleaseOptions, unquarantine } from './release.ts';
import { codeWithHint, fields, printable, table, writeJson, writeLine, writeNote } from './view/text.ts';
import { checkMachine, checkMachines } from './vm-check.ts';

type ListOptions = CommonOptions &
  Readonly<{ label?: string; state?: string; project?: string; agentVersion?: string; text?: string }>;

type CheckOptions = CommonOptions & Readonly<{ label?: string }>;

const RETRY_MS = 2_000;

export function registerVmCommands(program: Command): void {
  const vm = program.command('vm').description('virtual machines with an agent');

  const list = withConnection(vm.command('list'))
    .description('the machines, all or those that every option given here holds of')
    .option('--label <name[=value],…>', 'that have these labels')
    .addOption(new Option('--state <state>').choices(vmStates))
    .option('--project <project>', 'of this project')
    .option('--agent-version <version>', 'whose agent is of this version')
    .option('--text <text>', 'that have it in their name or id');
  onServer<ListOptions>(list, async ({ api }, options) => {
    const filter = filterOf(options);
    const machines = await api.vms(filter);
    if (options.json) for (const machine of machines) writeJson(machine);
    else if (machines.length === 0 && Object.keys(filter).length > 0) writeLine('No such machines.');
    else if (machines.length === 0) {
      writeLine('No machines yet. Make a join token for one:  latchkey token create');
    } else writeLine(table([HEAD, ...machines.map(row)]));
  });

  registerCreate(vm);

  const show = withConnection(vm.command('show')).description('one machine').argument('<vm>', 'id or name');
  onServer<CommonOptions>(show, async ({ api }, { json }, [name = '']) => {
    const machine = await api.vm(name);
    if (json) writeJson(machine);
    else showMachine(machine);
  });

  const check = withConnection(vm.command('check'))
    .description('whether a machine can be reset now, and if not, why; changes nothing and needs no proof')
    .argument('[vm]', 'id or name; without one, --label')
    .option('--label <name[=value],…>', 'every machine with these labels, eight at a time');
  onServer<CheckOptions>(check, (client, { label, json = false }, [name]) => {
    if ((name === undefined) === (label === undefined)) throw new UsageError('give a machine, or --label');
    if (label === undefined) return checkMachine(client, name ?? '', json);
    return interruptible((signal) => checkMachines(client, label, { json, signal }));
  });

  const label = withConnection(vm.command('label'))
    .description('label a machine: name=value sets, name- takes away; without any, shows them')
    .argument('<vm>', 'id or name')
    .argument('[labels...]', 'name=value or name-');
  onServer<CommonOptions>(label, async ({ api }, { json }, [name = '', ...words]) => {
    const machine = words.length === 0 ? await api.vm(name) : await api.changeVm(name, { labels: readLabels(words) });
    if (json) writeJson({ event: 'labels', vm: machine.name, labels: machine.labels });
    else writeLine(labelsText(machine));
  });

  const owner = withConnection(vm.command('owner'))
    .description('who is told by mail when the machine was reset; without an address, shows it')
    .argument('<vm>', 'id or name')
    .argument('[address]', 'their mail address')
    .option('--none', 'nobody is told any more');
  onServer<CommonOptions & { none?: boolean }>(owner, async ({ api }, { json, none }, [name = '', address]) => {
    if (none && address !== undefined) throw new UsageError('an address and --none exclude each other');
    const change = none ? null : address;
    const { email } = change === undefined ? await api.owner(name) : await api.setOwner(name, change);
    if (json) writeJson({ event: 'owner', vm: name, email });
    else writeLine(email === null ? 'Nobody is told.' : printable(email));
  });

  const release = withProof(withConnection(vm.command('unquarantine')))
    .description('let a held identity in again; needs a verification method of yours')
    .argument('<vm>', 'id or name')
    .option('-y, --yes', 'do not ask');
  onServer<ReleaseOptions>(release, (client, options, [name = '']) => unquarantine(client, name, options));

  const watch = withConnection(vm.command('watch'))
    .description('what happens on one machine or on all, as it happens')
    .argument('[vm]', 'id or name');
  onServer<CommonOptions>(watch, (client, { json }, [name]) =>
    interruptible((signal) => watchHistory(client, { vm: name ?? null, json: json ?? false, signal })),
  );
}

/** Until Ctrl-C. A restart of the control plane is waited for. */
async function watchHistory(
  { api }: Client,
  { vm, json, signal }: { vm: string | null; json: boolean; signal: AbortSignal },
): Promise<void> {
  const id = vm === null ? null : (await api.vm(vm)).id;
  let lastEventId: string | null = null;
  let away = false;
  while (!signal.aborted) {
    try {
      for await (const event of api.history(id, lastEventId, signal)) {
        lastEventId = String(event.id);
        away = false;
        if (json) writeJson(event);
        else writeLine(historyLine(event));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure) || !codes[error.code].retry) throw error;
      if (!away) writeNote(`${error.code} ${error.message} Trying again.`);
      away = true;
    }
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

function historyLine({ at, type, vm, op, data }: HistoryEvent): string {
  const about = Object.entries(data).flatMap(([name, value]) => (value === null ? [] : [`${name}=${String(value)}`]));
  return printable([at, type, vm ?? '', op ?? '', ...about].filter((part) => part !== '').join('  '));
}

function filterOf({ label, state, project, agentVersion: version, text }: ListOptions): VmFilter {
  const given = Object.entries({ label, state, project, version, text }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

/** Throws a usage error for a word that is neither `name=value` nor `name-`. */
function readLabels(words: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    words.map((word) => {
      const [, name = '', value] = /^([^=]+?)(?:=(.*)|-)$/.exec(word) ?? [];
      const isLabel = labelName.safeParse(name).success && labelValue.safeParse(value ?? '').success;
      if (!isLabel) throw new UsageError('a label is name=value, or name- to take it away');
      return [name, value ?? null];
    }),
  );
}

function labelsText({ labels }: Pick<VmView, 'labels'>): string {
  return (
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ') || 'none'
  );
}

const HEAD = ['NAME', 'STATUS', 'SYSTEM', 'AGENT', 'LAST SEEN', 'FLAGS', 'ID'];

function row({
  name,
  online,
  quarantine,
  busy,
  facts,
  agent_version,
  last_seen,
  flags,
  id,
  enrolled_at,
}: VmView): string[] {
  const status = quarantine
    ? 'held'
    : !enrolled_at
      ? 'to come'
      : `${online ? 'online' : 'offline'}${busy ? ', busy' : ''}`;
  return [name, status, facts?.os ?? '', agent_version ?? '', last_seen ?? 'never', flags.join(' '), id];
}

function showMachine(machine: VmView): void {
  const { facts } = machine;
  const known: (readonly [string, string])[] = facts
    ? [
        ['host name', facts.hostname],
        ['system', `${facts.os}, kernel ${facts.kernel}, ${facts.arch}`],
        ['virtualisation', facts.virtualisation],
        ['memory', `${Math.round(facts.memory_bytes / 2 ** 20)} MiB`],
      ]
    : [];
  writeLine(
    fields([
      ['name', machine.name],
      ['id', machine.id],
      ['status', machine.online ? 'online' : 'offline'],
      ['operation', machine.busy ?? 'none under way'],
      ...known,
      ['agent', `${machine.agent} ${machine.agent_version ?? ''}`],
      ['enrolled', machine.enrolled_at ?? (machine.removed ? 'never: taken back' : 'not yet: the machine is to come')],
      ['last seen', machine.last_seen ?? 'never'],
      ['labels', labelsText(machine)],
    ]),
  );
  if (machine.quarantine) {
    writeLine(
      `Held since ${machine.quarantine.since}; let it in again with: latchkey vm unquarantine ${printable(machine.name)}`,
    );
  }
  for (const flag of machine.flags) writeLine(`Look at this: ${codeWithHint(flag)}`);
}
