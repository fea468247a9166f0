// Programs run for real, on whatever system the tests run on: through pipes and on a terminal.

import { fail } from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { processChildren } from '../../../agent/adapters/process-children.ts';
import type { Program, TerminalAct } from '../../../agent/ports/process.ts';

const processes = processChildren();

const node = (script: string, changes: Partial<Program> = {}): Program => ({
  program: process.execPath,
  args: ['-e', script],
  env: { ONLY: 'this' },
  cwd: '/',
  timeoutMs: 20_000,
  outputBytesMax: 4_096,
  ...changes,
});

describe('a program on pipes', () => {
  it('gets its input whole, and gives its output and its status', async () => {
    const script =
      'process.stdin.on("data", (c) => process.stdout.write(c.reverse())).on("end", () => process.exit(7))';
    const input = Buffer.from([0, 1, 2, 255, 10, 13]);
    const { ending, status, output } = await processes.run(node(script), input);
    expect({ ending, status }).toEqual({ ending: 'exited', status: 7 });
    expect([...output]).toEqual([13, 10, 255, 2, 1, 0]);
  });
  it('has this environment and no other, and its words of trouble are dropped', async () => {
    const script = 'console.error("trouble"); console.log(JSON.stringify(process.env))';
    const { output } = await processes.run(node(script), Buffer.alloc(0));
    expect(JSON.parse(output.toString())).toEqual({ ONLY: 'this' });
  });
  it('is ended when its time is over', async () => {
    const ended = await processes.run(node('setInterval(() => {}, 1000)', { timeoutMs: 300 }), Buffer.alloc(0));
    expect(ended).toMatchObject({ ending: 'timeout', status: null });
  });
  it('is ended when it says too much', async () => {
    const script = 'setInterval(() => process.stdout.write("x".repeat(3000)), 1)';
    const ended = await processes.run(node(script), Buffer.alloc(0));
    expect(ended).toMatchObject({ ending: 'output_limit', status: null });
  });
  it('that ends without reading is no trouble', async () => {
    const ended = await processes.run(node('process.exit(3)'), Buffer.alloc(1_000_000));
    expect(ended).toMatchObject({ ending: 'exited', status: 3 });
  });
  it('that is not there is missing', async () => {
    const ended = await processes.run(node('', { program: '/nowhere/at-all' }), Buffer.alloc(0));
    expect(ended).toMatchObject({ ending: 'missing', status: null });
  });
});

/** Asks, tells what it heard, and ends with 5; on a terminal alone. */
const ASKS = `const readline = require("node:readline");
  if (!process.stdin.isTTY) process.exit(9);
  const asked = readline.createInterface({ input: process.stdin, output: process.stdout });
  asked.question("Name: ", (name) => { console.log("heard " + name.length); process.exit(5); });`;

describe('a program on a terminal', () => {
  it('is typed what the listener says, once, and the bytes are wiped', async () => {
    let heard = '';
    let typed = 0;
    const bytes = Buffer.from('ada\r');
    const ended = await processes.talk(node(ASKS), (output): TerminalAct => {
      heard += Buffer.from(output).toString();
      if (typed > 0 || !heard.endsWith('Name: ')) return 'wait';
      return {
        type: bytes,
        settleMs: 20,
        typed: () => {
          typed += 1;
        },
      };
    });
    expect(ended).toEqual({ ending: 'exited', status: 5 });
    expect(heard).toContain('heard 3');
    expect(typed).toBe(1);
    expect([...bytes]).toEqual([0, 0, 0, 0]);
  });
  it('is not typed anything at a prompt that does not stand still', async () => {
    const script =
      'process.stdin.on("data", () => process.exit(5)); setInterval(() => process.stdout.write("Name: "), 20)';
    const given: Buffer[] = [];
    const ended = await processes.talk(node(script, { timeoutMs: 900 }), () => {
      given.push(Buffer.from('ada\r'));
      return { type: given.at(-1) ?? Buffer.alloc(0), settleMs: 500, typed: () => fail('typed') };
    });
    expect(ended).toEqual({ ending: 'timeout', status: null });
    expect(given.length).toBeGreaterThan(1);
    expect(Buffer.concat(given).every((byte) => byte === 0)).toBe(true);
  });
  it('is ended when the listener says so, when its time is over, and when it says too much', async () => {
    const script = 'setInterval(() => process.stdout.write("x".repeat(1000)), 5)';
    expect(await processes.talk(node(script), () => 'stop')).toEqual({ ending: 'stopped', status: null });
    const slow = node('setInterval(() => {}, 1000)', { timeoutMs: 300 });
    expect(await processes.talk(slow, () => 'wait')).toEqual({ ending: 'timeout', status: null });
    expect(await processes.talk(node(script), () => 'wait')).toEqual({ ending: 'output_limit', status: null });
  });
  it('that is not there is missing', async () => {
    const ended = await processes.talk(node('', { program: '/nowhere/at-all' }), () => 'wait');
    expect(ended).toEqual({ ending: 'missing', status: null });
  });
});
