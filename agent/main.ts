#!/usr/bin/env node
// `latchkey-agent`: the command line. Each command loads only what it needs, since the link is resident and an executor
// starts for every operation.

import type { Failure } from '../protocol/failure.ts';

const USAGE = `usage: latchkey-agent COMMAND

  run                       the resident link to the control plane (its own user)
  executor                  serve one connection on standard input (root; started by the service manager)
            [--reboot-patience SECONDS]  [--pipes]: on standard input and output (started by the link on Windows)
  enrol     [--retry]       get this machine's identity with the join token (root)
  status    [--json]        who this machine is, how it is connected, what is under way (root; exit 0: connected, 3: not)
  doctor    [--json]        can it be reset now, and if not, why; changes nothing (root; exit 0: it can, 3: it cannot)
  seal      [--check]       take out of an image what makes the agent this machine's own (root); with --check: what is left
            [--image DIR]  [--json]: of an image mounted there (exit 0: sealed, --check: nothing is left; 1: otherwise)
  facts                     facts about this machine, as JSON
  install                   set up the start-up task (Windows; elsewhere the package does)
  uninstall                 remove it, and leave what the agent knows
  version                   the version`;

/** How long a reboot that was asked for may take before it is asked for again, unless the unit says otherwise. */
const REBOOT_PATIENCE_S = 120;

async function main(argv: readonly string[]): Promise<void> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'run':
      expect(rest, []);
      return runLink();
    case 'executor':
      return (await import('./executor/main.ts')).runExecutor(readExecutorOptions(rest));
    case 'enrol': {
      expect(rest, ['--retry']);
      const agent = await (await import('./enrolment/main.ts')).runEnrol({
        retry: rest.includes('--retry'),
        entry: import.meta.filename,
      });
      console.log(`enrolled as ${agent}`);
      return;
    }
    case 'status':
    case 'doctor': {
      expect(rest, ['--json']);
      const { runDoctor, runStatus } = await import('./image/main.ts');
      return (command === 'doctor' ? runDoctor : runStatus)({
        json: rest.includes('--json'),
        entry: import.meta.filename,
      });
    }
    case 'install':
    case 'uninstall':
      expect(rest, []);
      return (await import('./image/main.ts')).runInstallation(command, import.meta.filename);
    case 'seal':
      return (await import('./image/main.ts')).runSeal({ ...readSealOptions(rest), entry: import.meta.filename });
    case 'facts': {
      expect(rest, []);
      const { gatherFacts } = await import('./facts.ts');
      const { AGENT_VERSION } = await import('./version.ts');
      const { host } = await (await import('./host/main.ts')).here();
      console.log(JSON.stringify(await gatherFacts(AGENT_VERSION, await host.bootId())));
      return;
    }
    case 'version':
    case '--version':
      console.log((await import('./version.ts')).AGENT_VERSION);
      return;
    case 'help':
    case '--help':
      console.log(USAGE);
      return;
    default:
      throw new Usage(command === undefined ? 'no command' : `unknown command ${command}`);
  }
}

/** The executor starts while the link is loaded. */
async function runLink(): Promise<void> {
  const { socket } = (await import('./paths.ts')).paths;
  const asked = socket === null ? {} : { asked: (await import('./link/first-question.ts')).askFirst(socket) };
  await (await import('./link/main.ts')).runLink({ entry: import.meta.filename, ...asked });
}

class Usage extends Error {}

/** By its name: in a bundle each part carries the class itself. */
function isFailure(error: unknown): error is Failure {
  return error instanceof Error && error.name === 'Failure';
}

function expect(rest: readonly string[], allowed: readonly string[]): void {
  const unknown = rest.find((word) => !allowed.includes(word));
  if (unknown !== undefined) throw new Usage(`unexpected ${unknown}`);
}

function readExecutorOptions(rest: readonly string[]) {
  const pipes = rest.includes('--pipes');
  const patience = readPatience(rest.filter((word) => word !== '--pipes'));
  return { rebootPatienceMs: patience * 1000, pipes };
}

function readPatience(rest: readonly string[]): number {
  if (rest.length === 0) return REBOOT_PATIENCE_S;
  const [flag, value] = rest;
  if (rest.length !== 2 || flag !== '--reboot-patience' || !/^[0-9]{1,4}$/.test(value ?? ''))
    throw new Usage('unexpected arguments');
  return Number(value);
}

function readSealOptions(rest: readonly string[]): { check: boolean; json: boolean; image: string | null } {
  const options = { check: false, json: false, image: null as string | null };
  const words = [...rest];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--check') options.check = true;
    else if (word === '--json') options.json = true;
    else if (word === '--image' && options.image === null && words[0]) options.image = words.shift() ?? null;
    else throw new Usage(`unexpected ${word}`);
  }
  return options;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof Usage) {
    console.error(`latchkey-agent: ${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
  if (!isFailure(error)) throw error;
  console.error(`latchkey-agent: ${error.line}`);
  process.exit(1);
}
