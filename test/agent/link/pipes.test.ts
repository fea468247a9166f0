// An executor that the link starts by itself, over two pipes: whatever either side has said arrives, whoever ends first.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { ask, type ExecutorAnswer, ExecutorConnection } from '../../../agent/link/executor-client.ts';
import { childDoor } from '../../../agent/link/executor-door.ts';
import { bytes32Text, OP } from '../../protocol/samples.ts';

const CHANNEL = new URL('../../../agent/executor/channel.ts', import.meta.url).href;
const PIPES = new URL('../../../agent/pipes.ts', import.meta.url).href;
const connections: ExecutorConnection[] = [];
afterAll(() => {
  for (const connection of connections) connection.close();
});

/** A process with a real channel on real pipes, and this as what it does with it. */
const door = (script: string) =>
  childDoor(
    [
      '--input-type=module',
      '-e',
      `const { Channel } = await import(${JSON.stringify(CHANNEL)}); const { PipePair } = await import(${JSON.stringify(PIPES)});
       const channel = new Channel(new PipePair(process.stdin, process.stdout)); ${script}`,
    ],
    {},
  );

const STATE = JSON.stringify({ t: 'state', head: bytes32Text(1), open: null, root: 1 });

function talk(script: string) {
  const answers: ExecutorAnswer[] = [];
  let wake = () => {};
  let connection: ExecutorConnection | undefined;
  const ended = new Promise<void>((resolve) => {
    connection = new ExecutorConnection(door(script), {
      answer: (answer) => {
        answers.push(answer);
        wake();
      },
      end: resolve,
    });
    connections.push(connection);
  });
  const answered = async (count: number) => {
    while (answers.length < count)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  return { connection: connection as unknown as ExecutorConnection, answers, answered, ended };
}

describe('an executor over pipes', () => {
  it('hears a request, answers after the link has said its last, and is over', async () => {
    const answers = await ask(
      door(`
        const request = await channel.next();
        if (request.t !== 'receipts' || (await channel.next()) !== null) process.exit(9);
        channel.send(${STATE});
        await channel.end();
        process.exit();`),
      [{ t: 'receipts' }],
    );
    expect(answers.map(({ t }) => t)).toEqual(['state', 'end']);
  });

  it('is heard to its last word, also where it ends while the link still listens and says nothing', async () => {
    const { connection, answers, ended } = talk(`
      await channel.next();
      for (let n = 0; n < 2000; n += 1) channel.send(${STATE});
      await channel.end();
      process.exit();`);
    connection.send({ t: 'resume' });
    await ended;
    expect(answers).toHaveLength(2_001);
    expect(answers.at(-1)).toEqual({ t: 'end' });
  });

  it('learns that the link went away, and is not ended by that', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-pipes-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const trace = join(folder, 'trace');
    const { connection, answered } = talk(`
      await channel.next();
      channel.send(${STATE});
      const next = await channel.next();
      channel.send(${STATE});
      await new Promise((resolve) => setTimeout(resolve, 100));
      await channel.end();
      (await import('node:fs')).writeFileSync(${JSON.stringify(trace)}, JSON.stringify(next));
      process.exit();`);
    connection.send({ t: 'prepare', op: OP, account: null });
    await answered(1);
    connection.close();
    while (!existsSync(trace) || readFileSync(trace, 'utf8') === '')
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(readFileSync(trace, 'utf8')).toBe('null');
  });

  it('that cannot be started, or says nothing that is understood, is EXECUTOR_UNAVAILABLE', async () => {
    for (const script of ['process.exit(1)', 'process.stdout.write("what?\\n"); await channel.next()'])
      await expect(ask(door(script), [{ t: 'receipts' }])).rejects.toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
  });

  it('that is not there is EXECUTOR_UNAVAILABLE, and no reason for the link to end', async () => {
    const { execPath } = process;
    onTestFinished(() => {
      process.execPath = execPath;
    });
    process.execPath = '/absent/node';
    await expect(ask(door(''), [{ t: 'receipts' }])).rejects.toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
  });

  it('refuses a language that it does not know, by ending', async () => {
    const { connection, answers, ended } = talk(`
      if ((await channel.next()) !== null) process.exit(9);
      await channel.end();
      process.exit();`);
    connection.send({ t: 'unknown' } as never);
    await ended;
    expect(answers).toEqual([]);
  });
});
