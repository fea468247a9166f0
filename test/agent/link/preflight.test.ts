// The link hands the question "can it be reset now" to an executor of its own and brings the answer back; whatever else it
// has to do goes on.

import { describe, expect, it } from 'vitest';
import { signToken } from '../../../protocol/token.ts';
import { bytes32Text, keys, NOW_S, OP, samplePreflight } from '../../protocol/samples.ts';
import { commandToken } from './control-plane.ts';
import { makeSite, until } from './site.ts';

const question = (first = 0x88) => ({ t: 'preflight', nonce: bytes32Text(first), now: NOW_S });
const token = await signToken('lk-preflight+jws', samplePreflight(), keys.ek);

describe.concurrent('a preflight', () => {
  it('is asked of an executor as it came, and its signed answer goes back', async () => {
    const { connected, executor } = await makeSite();
    const visitor = await connected();
    visitor.send(question());
    const process = await executor.process('preflight');
    expect(process.requests).toEqual([question()]);
    process.say({ t: 'preflight', token });
    process.end();
    expect(await visitor.next('preflight')).toEqual({ t: 'preflight', token });
  });

  it.each([
    ['that refuses', 'JOURNAL_UNSAFE', { t: 'refused', op: null, code: 'JOURNAL_UNSAFE' }],
    ['that says something else', 'EXECUTOR_UNAVAILABLE', { t: 'root', version: 1 }],
    ['that says a code from the future', 'EXECUTOR_UNAVAILABLE', { t: 'refused', op: null, code: 'NEVER_HEARD_OF' }],
  ])('of an executor %s is answered by %s', async (_, code, answer) => {
    const { connected, executor } = await makeSite();
    const visitor = await connected();
    visitor.send(question());
    const process = await executor.process('preflight');
    process.say(answer);
    process.end();
    expect(await visitor.next('no_preflight')).toEqual({ t: 'no_preflight', nonce: question().nonce, code });
  });

  it('of an executor that dies is answered', async () => {
    const { connected, executor } = await makeSite();
    const visitor = await connected();
    visitor.send(question());
    (await executor.process('preflight')).die();
    expect(await visitor.next('no_preflight')).toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
  });

  it('is refused while another one is unanswered, and can be asked again after it', async () => {
    const { connected, executor } = await makeSite();
    const visitor = await connected();
    visitor.send(question(0x88));
    const process = await executor.process('preflight');
    visitor.send(question(0x89));
    expect(await visitor.next('no_preflight')).toEqual({
      t: 'no_preflight',
      nonce: bytes32Text(0x89),
      code: 'RATE_LIMITED',
    });
    process.say({ t: 'preflight', token });
    process.end();
    await visitor.next('preflight');
    visitor.send(question(0x8a));
    expect((await executor.process('preflight')).requests).toEqual([question(0x8a)]);
  });

  it('lets an executor that waits for its command wait, and the command comes while the question is open', async () => {
    const { connected, executor } = await makeSite();
    const visitor = await connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const waiting = await executor.process('prepare');
    visitor.send(question());
    const asked = await executor.process('preflight');
    visitor.send({ t: 'command', op: OP, token: await commandToken({ iat: NOW_S, exp: NOW_S + 60 }) });
    await waiting.next();
    expect(await waiting.next()).toMatchObject({ t: 'execute' });
    asked.say({ t: 'preflight', token });
    asked.end();
    await visitor.next('preflight');
  });
});

describe.concurrent('what the link notes of its connection', () => {
  it('is when it is connected, with server time, and what ended that', async () => {
    const { connected, notes, stop } = await makeSite();
    const visitor = await connected();
    const host = expect.stringMatching(/^127\.0\.0\.1:[0-9]+$/);
    await until(() => notes.length === 1);
    expect(notes).toEqual([{ state: 'connected', host, serverNow: NOW_S }]);
    visitor.send({ t: 'nothing-known' });
    await until(() => notes.length === 2);
    expect(notes[1]).toMatchObject({ state: 'disconnected', host, trouble: { code: 'SCHEMA_INVALID' } });
    await stop();
    expect(notes.at(-1)).toEqual({ state: 'stopped', host });
  });
});
