// What a parent hears of its child: one line. The parent may be root, and the child be taken over later.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { firstWord } from '../../../control-plane/signer/first-word.ts';
import { codeOf } from '../../../protocol/failure.ts';

const child = (program: string) =>
  spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
const LISTENING = `console.log(JSON.stringify({ event: 'listening', url: 'http://localhost:1' }));`;

test('whatever it prints after its first line is neither kept nor held up', async () => {
  const talker = child(`${LISTENING}
    setTimeout(() => process.stdout.write('x'.repeat(8_000_000)), 50);`);
  const exit = once(talker, 'exit');
  expect(await firstWord(talker, 'SIGNER_UNAVAILABLE')).toMatchObject({ url: 'http://localhost:1' });
  expect(talker.stdout.listenerCount('data')).toBe(0);
  // It could write all of it: somebody takes it away.
  expect((await exit)[0]).toBe(0);
});

test('a line without an end is not waited for', async () => {
  const talker = child(`process.stdout.write('x'.repeat(1_000_000)); setInterval(() => 0, 1_000);`);
  const exit = once(talker, 'exit');
  const code = await firstWord(talker, 'SIGNER_UNAVAILABLE').then(
    () => null,
    (error: unknown) => codeOf(error),
  );
  expect([code, (await exit)[1]]).toEqual(['SIGNER_UNAVAILABLE', 'SIGKILL']);
});

test.each([
  [`console.log('listening')`, 'SIGNER_UNAVAILABLE'],
  [`console.log(JSON.stringify({ event: 'failed', code: 'DATA_IN_USE', details: {} }))`, 'DATA_IN_USE'],
  [`console.log(JSON.stringify({ event: 'failed', code: 'NO_CODE', details: {} }))`, 'SIGNER_UNAVAILABLE'],
  ['', 'SIGNER_UNAVAILABLE'],
])('%s is %s', async (program, code) => {
  await expect(firstWord(child(program), 'SIGNER_UNAVAILABLE')).rejects.toMatchObject({ code });
});
