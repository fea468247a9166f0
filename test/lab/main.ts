// `npm run lab`: guests by hand. up NAME | down NAME | list | exec NAME -- CMD … It must never do more than ask a
// supervisor or enter a guest; the guests are the supervisors' own.
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { enterArguments } from './entry.ts';
import { eraseGround, findSupervisor, guestFolder, listGuestNames } from './ground.ts';
import { isGuestName } from './guest.ts';
import { labFolder } from './native.ts';
import { checkRequirements, LabUnavailable } from './requirements.ts';
import { askSupervisor, type Opening } from './supervisor.ts';

const USAGE = `usage: npm run lab -- up NAME [--no-vnc]
       npm run lab -- down NAME
       npm run lab -- list
       npm run lab -- exec NAME [--user USER] -- PROGRAM ARGUMENT…
A name has small letters, digits and dashes.`;

class UsageError extends Error {}

function fail(message: string): number {
  console.error(`lab: ${message}`);
  return 1;
}

async function up(name: string, display: string): Promise<number> {
  if (findSupervisor(guestFolder(name)) !== undefined) return fail(`guest ${name} is up already`);
  const argv = [join(import.meta.dirname, 'supervisor.ts'), name, display];
  const log = openSync(join(labFolder(), '.supervisors.log'), 'a', 0o600);
  const child = spawn(process.execPath, argv, { detached: true, stdio: ['ignore', log, log, 'ipc'] });
  const opening = await new Promise<Opening>((resolve) => {
    child.once('message', (message) => resolve(message as Opening));
    child.once('exit', () =>
      resolve({
        ok: false,
        code: 'LAB_FAILED',
        message: `the supervisor ended early; see ${labFolder()}/.supervisors.log`,
      }),
    );
  });
  child.unref();
  if (opening.ok) return 0;
  return fail(opening.message);
}

/** A supervisor that died took its guest along, but not the folder. */
async function down(name: string): Promise<number> {
  if (await askSupervisor(name, 'down')) return 0;
  if (!listGuestNames().includes(name)) return fail(`there is no guest ${name}`);
  if (findSupervisor(guestFolder(name)) !== undefined) return fail(`the supervisor of ${name} does not answer`);
  const machine = checkRequirements();
  if (!machine.ok) throw new LabUnavailable(machine.reason, machine.hint);
  eraseGround({ ...machine, folder: guestFolder(name) });
  return 0;
}

async function list(): Promise<number> {
  for (const name of listGuestNames()) {
    const status = await askSupervisor(name, 'status');
    const dead = findSupervisor(guestFolder(name)) === undefined ? 'dead' : 'starting';
    console.log([name, status?.state ?? dead, `boots ${status?.boots ?? 0}`, `pid ${status?.pid ?? '-'}`].join('\t'));
  }
  return 0;
}

async function exec(name: string, user: string, argv: readonly string[]): Promise<number> {
  const status = await askSupervisor(name, 'status');
  if (!status?.pid) return fail(`guest ${name} is not running`);
  const pty = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const env: Record<string, string> = pty && process.env.TERM ? { TERM: process.env.TERM } : {};
  const child = spawn(status.native, enterArguments(status.pid, argv, { user, pty, env }), { stdio: 'inherit' });
  process.on('SIGINT', () => undefined); // it is for the program in the guest
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

function readCommand(argv: readonly string[]): { words: string[]; program: string[]; user: string; display: string } {
  const end = argv.indexOf('--');
  const own = end < 0 ? argv : argv.slice(0, end);
  try {
    const options = { user: { type: 'string', default: 'root' }, 'no-vnc': { type: 'boolean' } } as const;
    const { positionals, values } = parseArgs({ args: [...own], options, allowPositionals: true });
    const program = end < 0 ? [] : argv.slice(end + 1);
    return { words: positionals, program, user: values.user, display: values['no-vnc'] ? 'no-vnc' : 'vnc' };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const { words, program, user, display } = readCommand(argv);
  const [command, name, ...rest] = words;
  if (command === 'list' && name === undefined) return list();
  if (name === undefined || rest.length > 0 || !isGuestName(name)) throw new UsageError('a name is needed');
  if (command === 'exec' && program.length > 0) return exec(name, user, program);
  if (program.length > 0) throw new UsageError('only exec takes a program');
  if (command === 'up') return up(name, display);
  if (command === 'down') return down(name);
  throw new UsageError(`no such command: ${command}`);
}

if (import.meta.main) {
  try {
    process.exitCode = await run(process.argv.slice(2));
  } catch (error) {
    const usage = error instanceof UsageError;
    console.error(`lab: ${(error as Error).message}${usage ? `\n${USAGE}` : ''}`);
    process.exitCode = usage ? 2 : 1;
  }
}
