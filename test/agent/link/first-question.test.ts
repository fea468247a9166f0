// The executor that is asked before the link is there: its answer is the link's first report, and a question that led nowhere
// is asked again.

import { expect, test } from 'vitest';
import { socketDoor } from '../../../agent/link/executor-door.ts';
import { askFirst } from '../../../agent/link/first-question.ts';
import { bytes32Text, OP } from '../../protocol/samples.ts';
import { ScriptedExecutor } from './executor-script.ts';
import { makeSite } from './site.ts';

/** An executor that was asked, and has an operation under way. */
async function makeAsked() {
  const executor = new ScriptedExecutor();
  executor.open = OP;
  const asked = askFirst(await executor.listen());
  return { executor, asked };
}

test('what it answered before anybody listened is the first report', async () => {
  const { executor, asked } = await makeAsked();
  while (asked.bytesRead === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const site = await makeSite({ parts: { executors: { door: socketDoor('/nowhere'), asked } } });
  const visitor = await site.plane.visitor();
  expect((await visitor.greet()).jhead).toBe(bytes32Text(0x55));
  expect((await visitor.next('synced')).open).toBe(OP);
  expect(executor.reports).toBe(1);
  await executor.close();
});

test('nobody is asked twice for one connection, and each later connection asks anew', async () => {
  const { executor, asked } = await makeAsked();
  const site = await makeSite({ parts: { executors: { door: socketDoor(executor.path), asked } } });
  executor.open = null;
  (await site.connected()).terminate();
  expect(executor.reports).toBe(1);
  await site.connected();
  expect(executor.reports).toBe(2);
  await site.stop();
  await executor.close();
});

test('where nobody listened, the link asks again at once', async () => {
  const asked = askFirst('/nowhere');
  await new Promise((resolve) => asked.once('close', resolve));
  const executor = new ScriptedExecutor();
  const site = await makeSite({ parts: { executors: { door: socketDoor(await executor.listen()), asked } } });
  const visitor = await site.plane.visitor();
  expect((await visitor.greet()).jhead).toBe(bytes32Text(0x55));
  expect(executor.reports).toBe(1);
  await site.stop();
  await executor.close();
});
