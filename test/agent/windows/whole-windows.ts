// A whole Windows machine of written exchanges: its accounts, its boots, its access lists, its restarts and its start-up
// task. It has no VNC server. A restart ends the process that asks for it, as on a real machine, by an error that nothing
// in the agent takes for anything else.

import { deepEqual, fail } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { environmentScripts } from '../../../agent/adapters/environment-windows.ts';
import { hostScripts } from '../../../agent/adapters/host-windows.ts';
import { installationScripts } from '../../../agent/adapters/installation-windows.ts';
import { powerScripts } from '../../../agent/adapters/power-windows.ts';
import { tightvncScripts } from '../../../agent/adapters/vnc-tightvnc-windows.ts';
import type { Ended, Processes } from '../../../agent/ports/process.ts';
import { environmentFile, hostFile, shutdownFile } from './exchanges.ts';
import { FakeWindows } from './machine-windows.ts';
import { answerOf, assertPlain, inputOf, scriptOf } from './processes-scripted.ts';

/** The machine went down under the process that asked for it. */
export class WentDown extends Error {}

export class WholeWindows {
  readonly accounts = new FakeWindows();
  boot: string = randomUUID();
  restarts = 0;
  /** By the name of the written answer. */
  accessOf: (path: string) => string = () => 'closed';
  environment = 'normal';
  /** How a restart is answered; one that is accepted takes the machine down. */
  shutdown = 'accepted';
  machine = 'one';
  /** Of the start-up task, as it was registered last. */
  task: Readonly<{ name: string; xml: string }> | null = null;
  /** `registers`, or how a script ends otherwise. */
  scheduler: 'registers' | 'refuses' = 'registers';
  /** What people who are signed in were told. */
  readonly announced: string[] = [];
  readonly folders: string[] = [];

  readonly processes: Processes = {
    run: async (program, input) => {
      const name = program.program.split('\\').at(-1) ?? '';
      if (name === 'net.exe' && program.args[0] === 'help') {
        assertPlain(program);
        return { ...this.#help(), output: Buffer.alloc(0) };
      }
      if (name === 'net.exe') return this.accounts.processes.run(program, input);
      assertPlain(program);
      if (name === 'msg.exe') {
        this.announced.push(Buffer.from(input).toString('ascii'));
        return { ending: 'exited', status: 0, output: Buffer.alloc(0) };
      }
      if (name === 'shutdown.exe') return this.#restart(program.args);
      const answer = this.#answer(scriptOf(program), inputOf(input).request);
      if (answer === undefined) return this.accounts.processes.run(program, input);
      if (answer === 'fails') return { ending: 'exited', status: 1, output: Buffer.alloc(0) };
      return { ending: 'exited', status: 0, output: answerOf(answer) };
    },
    talk: async (program, hear) => {
      if (program.args[0] !== 'help') return this.accounts.processes.talk(program, hear);
      assertPlain(program);
      return this.#help();
    },
  };

  #help(): Ended {
    return this.accounts.netExe === 'missing' ? { ending: 'missing', status: null } : { ending: 'exited', status: 0 };
  }

  #restart(args: readonly string[]): Awaited<ReturnType<Processes['run']>> {
    deepEqual(args, ['/r', '/t', '0', '/d', 'p:2:4']);
    const { status } = shutdownFile.exchanges[this.shutdown] ?? fail();
    if (status === 'hangs') fail('no restart of a whole machine hangs');
    if (status !== 0) return { ending: 'exited', status, output: Buffer.alloc(0) };
    this.restarts += 1;
    this.boot = randomUUID();
    throw new WentDown();
  }

  /** What the scripts of the whole machine say; `undefined` for those that are about its accounts. */
  #answer(script: string, request: unknown): unknown {
    const is = (known: string) => script.endsWith(known);
    if (is(environmentScripts.BOOT_ONLY)) return { boot: this.boot };
    if (is(environmentScripts.OBSERVE))
      return { boot: this.boot, ...answerIn('normal'), ...answerIn(this.environment) };
    if (is(powerScripts.LOOK)) return { system: true, program: true };
    if (is(hostScripts.MACHINE)) return hostFile.machines[this.machine]?.answer ?? 'nothing';
    if (is(hostScripts.STARTED)) return { started: '639000000000000000' };
    if (is(hostScripts.ACCESS)) {
      const { path } = request as { path: string };
      return (hostFile.access[this.accessOf(path)] ?? fail()).answer;
    }
    if (is(tightvncScripts.LIST)) return { running: false, program: null, ports: [], settings: null };
    return this.#installs(script, request);
  }

  #installs(script: string, request: unknown): unknown {
    const is = (known: string) => script.endsWith(known);
    if (is(installationScripts.FOLDER)) {
      this.folders.push((request as { path: string }).path);
      deepEqual((request as { descriptor: string }).descriptor, 'O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)');
      return { there: true };
    }
    if (is(installationScripts.REGISTER)) {
      if (this.scheduler === 'refuses') return 'fails';
      this.task = request as { name: string; xml: string };
      return { registered: true };
    }
    if (is(installationScripts.REMOVE)) {
      const removed = this.task !== null;
      this.task = null;
      return { removed };
    }
    return undefined;
  }
}

function answerIn(state: string): Readonly<Record<string, unknown>> {
  return (environmentFile.exchanges[state] ?? fail(`no environment ${state}`)).answer;
}
