// `latchkey reset` and `latchkey vnc reset`: options to a request, the conversation, and the end in words and exit codes.

import { type Command, InvalidArgumentError, Option } from 'commander';
import * as z from 'zod/mini';
import { factorMethods } from '../../protocol/command.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { GRACE_S_MAX, INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import { refuseReroot } from '../../protocol/reroot.ts';
import { accountName, vncServerId } from '../../protocol/schema.ts';
import type { Slot } from '../../protocol/seal.ts';
import { type CommonOptions, interruptible, onServer, withConnection } from './action.ts';
import type { Client } from './client/client.ts';
import { resetMany } from './commands-bulk.ts';
import { type ConversationOptions, converse, demandAnswers } from './conversation.ts';
import { UsageError } from './prompts.ts';
import { type ProofFlags, readProofFlags } from './prover.ts';
import { report } from './report.ts';
import { isTyped, type ResetRequest } from './reset/request.ts';
import { runReset } from './reset/reset.ts';

type ResetOptions = CommonOptions &
  ProofFlags &
  Readonly<{
    account?: string;
    vnc?: boolean;
    server?: string;
    restartVnc?: boolean;
    unlock?: boolean;
    type?: boolean;
    passwordStdin?: boolean;
    vncType?: boolean;
    vncPasswordStdin?: boolean;
    grace?: number;
    valid?: number;
    notBefore?: number;
    method?: string;
    yes?: boolean;
    timeout?: number;
    detach?: boolean;
    reveal?: boolean;
    label?: string;
    project?: string;
    concurrency?: number;
  }>;

export function registerResetCommands(program: Command): void {
  const reset = withConnection(program.command('reset'))
    .description('reset the administrator’s password of a virtual machine, and restart it')
    .argument('[vm]', 'id or name of the machine; without one, --label')
    .option('--label <name[=value],…>', 'every machine with these labels, with one proof, generated passwords')
    .option('--project <project>', 'with --label: of this project')
    .option('--concurrency <count>', 'with --label: so many machines at a time', seconds(1, 100))
    .option('--account <name>', 'a local account other than the default administrator')
    .option('--unlock', 'reset a locked account too, and unlock it')
    .option('--vnc', 'reset the VNC password as well')
    .option('--no-vnc', 'leave the VNC password alone (the default)')
    .option('--type', 'choose the password: it is asked for, hidden and twice')
    .option('--password-stdin', 'read the password from a line of standard input')
    .option('--vnc-type', 'choose the VNC password')
    .option('--vnc-password-stdin', 'read the VNC password from standard input, on a line after the account’s');
  onServer<ResetOptions>(withCourse(reset), (client, options, [vm]) => {
    const request: ResetRequest = {
      ...base(vm ?? '', options),
      account: {
        name: options.account === undefined ? null : parsed(options.account, accountName, '--account'),
        mode: options.type || options.passwordStdin ? 'typed' : 'generated',
        unlock: options.unlock ?? false,
      },
      ...(options.vnc ? { vnc: vncPart(options, options.vncType || options.vncPasswordStdin) } : {}),
    };
    if ((vm === undefined) === (options.label === undefined)) throw new UsageError('give a machine, or --label');
    return options.label === undefined ? run(client, options, request) : runMany(client, options, request);
  });

  const vnc = program.command('vnc').description('VNC connection passwords');
  const vncReset = withConnection(vnc.command('reset'))
    .description('reset the VNC password of a virtual machine, and restart it')
    .argument('<vm>', 'id or name of the machine')
    .option('--type', 'choose the password: it is asked for, hidden and twice')
    .option('--password-stdin', 'read the password from a line of standard input');
  onServer<ResetOptions>(withCourse(vncReset), (client, options, [vm = '']) =>
    run(client, options, { ...base(vm, options), vnc: vncPart(options, options.type || options.passwordStdin) }),
  );
}

/** What both commands understand of how the reset is done, proven and watched. */
function withCourse(command: Command): Command {
  return withProof(command)
    .option('--server <kind:port>', 'the VNC server, where there are several (tigervnc:5901)')
    .option(
      '--restart-vnc',
      'agree to a restart of the VNC server, where only that proves its password before the reboot',
    )
    .option('--grace <seconds>', 'time before anything is changed, to finish running work', seconds(0, GRACE_S_MAX))
    .option('--valid <seconds>', 'how long the approval may wait for the machine', seconds(60, INTENT_TTL_S_MAX))
    .option(
      '--not-before <time>',
      'send it not before then (ISO 8601), whatever was proven; 24 hours ahead at most',
      moment,
    )
    .addOption(new Option('--method <method>').default('online').hideHelp())
    .option('-y, --yes', 'do not ask for confirmation')
    .option('--timeout <seconds>', 'stop watching after this long; the operation goes on', seconds(1, 7 * 86_400))
    .option('--detach', 'do not watch; `latchkey op watch` shows the generated password later')
    .option('--reveal', 'with --json: print generated passwords in the last line');
}

/** How an operator proves what is asked for. */
export function withProof(command: Command): Command {
  return command
    .option('--verify <method>', `how you verify it (${factorMethods.join(', ')}); asked for without it`)
    .option('--code <code>', 'code of your authenticator, or a recovery code (each works once)')
    .option('--code-stdin', 'read the code from a line of standard input, after the passwords')
    .option('--key-file <file>', 'prove with this Ed25519 key (a private JWK of mode 0600)');
}

function base(vm: string, options: ResetOptions): Omit<ResetRequest, 'account' | 'vnc'> {
  // Refused by its own name and not as an unknown option.
  refuseReroot({ method: options.method ?? 'online' });
  if (options.method !== 'online') throw new UsageError('the only --method is online');
  return {
    vm,
    graceS: options.grace ?? 0,
    ...(options.valid === undefined ? {} : { validS: options.valid }),
    ...(options.notBefore === undefined ? {} : { notBeforeS: options.notBefore }),
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1_000, waitWhileOverdue: true }),
    ...(options.detach ? { detach: true } : {}),
  };
}

function vncPart({ server, restartVnc }: ResetOptions, typed: boolean | undefined): NonNullable<ResetRequest['vnc']> {
  return {
    server: server === undefined ? null : parsed(server, vncServerId, '--server'),
    mode: typed ? 'typed' : 'generated',
    restart: restartVnc ?? false,
  };
}

/** What is typed is sealed to one machine, and a window is that of one reset. */
function runMany(client: Client, options: ResetOptions, request: ResetRequest): Promise<number> {
  const { label = '', project, concurrency } = options;
  if (isTyped(request)) throw new UsageError('with --label passwords are generated');
  if (options.notBefore !== undefined || options.timeout !== undefined) {
    throw new UsageError('--not-before and --timeout are for one machine');
  }
  const { json = false, yes = false, reveal = false, detach = false } = options;
  const chosen = {
    label,
    ...(project === undefined ? {} : { project }),
    ...(concurrency === undefined ? {} : { concurrency }),
  };
  const flags = { json, yes, reveal, detach, proof: readProofFlags(options) };
  return resetMany(client, { ...chosen, reset: request }, flags);
}

async function run(client: Client, options: ResetOptions, request: ResetRequest): Promise<number> {
  const conversation = conversationOf(options, request);
  demandAnswers(conversation);
  return interruptible(async (signal) => {
    const { observer, close } = await converse(conversation);
    try {
      const outcome = await runReset(client, { ...request, signal }, observer);
      await close();
      return await report(client, outcome, { json: conversation.json, reveal: options.reveal ?? false });
    } catch (error) {
      if (codeOf(error) !== 'CANCELLED') throw error;
      // The operator’s own no, or Ctrl-C before the approval.
      throw new Failure('CANCELLED', {}, error);
    } finally {
      await close();
    }
  });
}

function conversationOf(options: ResetOptions, { account, vnc }: ResetRequest): ConversationOptions {
  const stdin: Record<Slot, boolean> = {
    account: account !== undefined && (options.passwordStdin ?? false),
    vnc: vnc !== undefined && ((account ? options.vncPasswordStdin : options.passwordStdin) ?? false),
  };
  if (options.type && options.passwordStdin) throw new UsageError('--type and --password-stdin exclude each other');
  if (options.vncType && options.vncPasswordStdin) {
    throw new UsageError('--vnc-type and --vnc-password-stdin exclude each other');
  }
  const forVnc = [options.vncType, options.vncPasswordStdin, options.restartVnc, options.server !== undefined];
  if (!vnc && forVnc.includes(true)) {
    throw new UsageError('--server, --restart-vnc, --vnc-type and --vnc-password-stdin need --vnc');
  }
  return {
    json: options.json ?? false,
    yes: options.yes ?? false,
    proof: readProofFlags(options),
    stdin,
  };
}

function moment(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidArgumentError('a time such as 2026-11-30T02:00:00Z.');
  return Math.ceil(ms / 1_000);
}

function parsed(text: string, schema: Parameters<typeof z.safeParse>[0], option: string): string {
  if (!z.safeParse(schema, text).success) throw new UsageError(`${option} has no such form`);
  return text;
}

export function seconds(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`a whole number from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}
