// The link at work: it hands over what is fresh, sends what is not acknowledged, and takes up what was left behind.

import { describe, expect, test } from 'vitest';
import { isEnd } from '../../../protocol/lifecycle.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { AGENT, keys, NOW_S, OP, sampleCommand } from '../../protocol/samples.ts';
import { ackOf } from '../executor/orders.ts';
import { ControlPlane, commandToken } from './control-plane.ts';
import { receiptToken } from './executor-script.ts';
import { codesIn, makeSite, until } from './site.ts';

const OTHER_OP = `op_${'0'.repeat(25)}9`;
const readyToken = 'AAAA.AAAA.AAAA';
const numbers = (tokens: readonly string[]) => tokens.map((token) => (payloadOf(token) as { n: number }).n);

describe.concurrent('commands', () => {
  test.each<[string, string, object]>([
    ['past its end', 'EXPIRED', { iat: NOW_S - 121, exp: NOW_S - 1 }],
    ['dated more than 30 seconds ahead', 'NOT_YET_VALID', { iat: NOW_S + 60, exp: NOW_S + 120 }],
    ['without times', 'SCHEMA_INVALID', { iat: undefined }],
  ])('%s is refused here and not handed over', async (_, code, changes) => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    visitor.send({ t: 'command', op: OP, token: await commandToken({ ...sampleCommand(), ...changes }) });
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code });
    expect(process.requests).toHaveLength(1);
  });

  test('that cannot be read is refused, and the connection stays', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    for (const token of ['AAAA.AAAA.AAAA', 'AAAA.W10.AAAA', 'AAAA.bnVsbA.AAAA', 'AAAA.!.AAAA'].slice(0, 3)) {
      visitor.send({ t: 'command', op: OP, token });
      expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'SCHEMA_INVALID' });
    }
  });

  test('for which no executor waits is NONCE_UNKNOWN', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'NONCE_UNKNOWN' });
  });

  test('for another operation than the prepared one is not handed over', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OTHER_OP, account: null });
    const process = await site.executor.process('prepare');
    visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    expect(await visitor.next('refused')).toMatchObject({ op: OP, code: 'NONCE_UNKNOWN' });
    expect(process.requests).toHaveLength(1);
  });

  test('that is fresh reaches the executor that prepared for it, and what it says comes back', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: 'root' });
    const process = await site.executor.process('prepare');
    expect(await process.next()).toEqual({ t: 'prepare', op: OP, account: 'root' });
    process.say({ t: 'ready', op: OP, token: readyToken });
    expect(await visitor.next('ready')).toEqual({ t: 'ready', op: OP, token: readyToken });
    const token = await commandToken(sampleCommand());
    visitor.send({ t: 'command', op: OP, token });
    expect(await process.next()).toEqual({ t: 'execute', token });
    const first = await receiptToken(1);
    process.say({ t: 'receipt', token: first });
    expect((await visitor.next('receipt')).token).toBe(first);
    const ack = await ackOf(OP, 1);
    visitor.send({ t: 'ack', token: ack });
    expect(await process.next()).toEqual({ t: 'ack', token: ack });
  });

  test('for an executor that waited when the connection was lost is NONCE_UNKNOWN on the next one', async () => {
    const site = await makeSite();
    const before = await site.connected();
    before.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    process.say({ t: 'ready', op: OP, token: readyToken });
    await before.next('ready');
    before.terminate();
    await process.gone;
    const after = await site.connected();
    after.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    expect(await after.next('refused')).toEqual({ t: 'refused', op: OP, code: 'NONCE_UNKNOWN' });
    expect(process.requests).toHaveLength(1);
  });

  test('goes on with the intent that came beside it', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    await process.next();
    process.say({ t: 'ready', op: OP, token: readyToken });
    await visitor.next('ready');
    const token = await commandToken(sampleCommand());
    visitor.send({ t: 'command', op: OP, token, intent: 'AAAA' });
    expect(await process.next()).toEqual({ t: 'execute', token, intent: 'AAAA' });
  });
});

describe.concurrent('prepare', () => {
  test('replaces one that only waits, whose executor is let go', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const first = await site.executor.process('prepare');
    visitor.send({ t: 'prepare', op: OTHER_OP, account: null });
    const second = await site.executor.process('prepare');
    await first.gone;
    expect((await second.next()).op).toBe(OTHER_OP);
  });

  test('while an operation is at work is BUSY, and does not disturb it', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    visitor.send({ t: 'prepare', op: OTHER_OP, account: null });
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OTHER_OP, code: 'BUSY' });
    process.say({ t: 'receipt', token: await receiptToken(1) });
    await visitor.next('receipt');
    expect(site.executor.started('prepare')).toBe(1);
  });

  test('whose executor ends before it answers is EXECUTOR_UNAVAILABLE', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    (await site.executor.process('prepare')).die();
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'EXECUTOR_UNAVAILABLE' });
  });

  test('that the executor refuses is told with its code', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    (await site.executor.process('prepare')).say({ t: 'refused', op: OP, code: 'JOURNAL_UNSAFE' });
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'JOURNAL_UNSAFE' });
  });

  test('that the executor refuses before it knows for whom is told as well', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    process.say({ t: 'refused', op: null, code: 'TRUST_INVALID' });
    process.end();
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'TRUST_INVALID' });
  });

  test.each(['nonsense\n', `${JSON.stringify({ t: 'ready', op: OP, token: 'x' })}\n`, 'x'.repeat(300_000)])(
    'whose executor does not speak the language is EXECUTOR_UNAVAILABLE: %#',
    async (text) => {
      const site = await makeSite();
      const visitor = await site.connected();
      visitor.send({ t: 'prepare', op: OP, account: null });
      (await site.executor.process('prepare')).write(text);
      expect(await visitor.next('refused')).toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
    },
  );

  test('while the last executor puts its things away waits for its end', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    process.say({ t: 'receipt', token: await receiptToken(1, { state: 'REFUSED', code: 'ENV_REFUSED' }) });
    await visitor.next('receipt');
    visitor.send({ t: 'prepare', op: OTHER_OP, account: null });
    process.end();
    expect((await (await site.executor.process('prepare')).next()).op).toBe(OTHER_OP);
  });
});

describe.concurrent('receipts', () => {
  test('that no acknowledgement covered are sent in order at each connection, before `synced`', async () => {
    const receipts = await Promise.all([1, 2, 3].map((n) => receiptToken(n)));
    const site = await makeSite({ executor: (executor) => executor.receipts.push(...receipts) });
    for (let connection = 0; connection < 2; connection += 1) {
      const visitor = await site.connected();
      const kinds = visitor.frames.map(({ t }) => t);
      expect(kinds.lastIndexOf('receipt')).toBeLessThan(kinds.indexOf('synced'));
      const sent = visitor.frames.flatMap((frame) => (frame.t === 'receipt' ? [frame.token] : []));
      expect(sent).toEqual(receipts);
      visitor.terminate();
    }
  });

  test('beyond the window wait for acknowledgements, and `synced` for all of them', async () => {
    const receipts = await Promise.all(Array.from({ length: 11 }, (_, i) => receiptToken(i + 1)));
    const site = await makeSite({ executor: (executor) => executor.receipts.push(...receipts) });
    const visitor = await site.plane.visitor();
    await visitor.greet();
    for (let n = 1; n <= 8; n += 1) await visitor.next('receipt');
    visitor.send({ t: 'ack', token: await ackOf(OP, 2) });
    await visitor.next('receipt');
    await visitor.next('receipt');
    const sent = () => visitor.frames.filter(({ t }) => t === 'receipt').length;
    expect([sent(), visitor.frames.some(({ t }) => t === 'synced')]).toEqual([10, false]);
    visitor.send({ t: 'ack', token: await ackOf(OP, 3) });
    await visitor.next('synced');
    expect(sent()).toBe(11);
    const tokens = visitor.frames.flatMap((frame) => (frame.t === 'receipt' ? [frame.token] : []));
    expect(numbers(tokens)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('that are acknowledged are not sent again, and the executor is told', async () => {
    const receipts = await Promise.all([1, 2].map((n) => receiptToken(n)));
    const site = await makeSite({ executor: (executor) => executor.receipts.push(...receipts) });
    const visitor = await site.connected();
    const ack = await ackOf(OP, 2);
    visitor.send({ t: 'ack', token: ack });
    await until(() => site.executor.acks.length > 0);
    expect(site.executor.acks).toEqual([ack]);
    site.executor.receipts.length = 0;
    visitor.terminate();
    expect((await site.connected()).frames.filter(({ t }) => t === 'receipt')).toEqual([]);
  });

  test('that cannot be read do not keep the others back', async () => {
    const receipts = [await receiptToken(1, { state: 'LATER' as never }), await receiptToken(2)];
    const site = await makeSite({ executor: (executor) => executor.receipts.push(...receipts) });
    const visitor = await site.connected();
    expect(visitor.frames.filter(({ t }) => t === 'receipt')).toHaveLength(1);
  });

  test.each([
    ['a key of another role', () => ackOf(OP, 1, keys.command)],
    ['another agent', () => ackOf(OP, 1, keys.session, AGENT.replace(/2$/, '9'))],
  ])('are not forgotten for an acknowledgement of %s, which ends the connection', async (_, ack) => {
    const receipts = [await receiptToken(1)];
    const site = await makeSite({ executor: (executor) => executor.receipts.push(...receipts) });
    const visitor = await site.connected();
    visitor.send({ t: 'ack', token: await ack() });
    await visitor.closed;
    expect((await site.connected()).frames.filter(({ t }) => t === 'receipt')).toHaveLength(1);
    expect(site.executor.acks).toEqual([]);
  });
});

describe.concurrent('what was left behind', () => {
  test('is named in `synced` and taken up', async () => {
    const site = await makeSite({
      executor: (executor) => {
        executor.open = OP;
      },
    });
    const visitor = await site.plane.visitor();
    await visitor.greet();
    expect(await visitor.next('synced')).toEqual({ t: 'synced', open: OP });
    const process = await site.executor.process('resume');
    process.say({ t: 'receipt', token: await receiptToken(1) });
    await visitor.next('receipt');
    const token = await ackOf(OP, 1);
    visitor.send({ t: 'ack', token });
    expect((await process.next()).t).toBe('resume');
    expect(await process.next()).toEqual({ t: 'ack', token });
  });

  test('by an executor that died at work is taken up, until the operation has ended', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    await process.next();
    await process.next();
    site.executor.open = OP;
    process.die();
    const resumed = await site.executor.process('resume');
    const last = await receiptToken(2, { state: 'INTERRUPTED', code: 'INTERRUPTED' });
    resumed.say({ t: 'receipt', token: last });
    expect((await visitor.next('receipt')).token).toBe(last);
    expect(isEnd((payloadOf(last) as { state: 'INTERRUPTED' }).state)).toBe(true);
  });

  test('is taken up also while nobody can be reached', async () => {
    const site = await makeSite({
      parts: { addresses: [{ url: new URL('ws://127.0.0.1:9/agent/v1'), caPem: '' }] },
      executor: (executor) => {
        executor.open = OP;
      },
    });
    expect((await (await site.executor.process('resume')).next()).t).toBe('resume');
    expect(codesIn(site.log)).toContain('SERVER_UNREACHABLE');
  });

  test('tells what it came to in order, although younger receipts were here before older ones', async () => {
    const plane = new ControlPlane();
    const [first, second, third] = await Promise.all([1, 2, 3].map((n) => receiptToken(n)));
    const nowhere = { url: new URL('ws://127.0.0.1:9/agent/v1'), caPem: '' };
    const site = await makeSite({
      parts: { addresses: [nowhere, { url: await plane.listen(), caPem: '' }] },
      executor: (executor) => {
        executor.open = OP;
        executor.receipts.push(String(first));
      },
    });
    const process = await site.executor.process('resume');
    site.executor.receipts.push(String(second), String(third));
    process.say({ t: 'receipt', token: third });
    const visitor = await plane.visitor();
    await visitor.greet();
    await visitor.next('synced');
    const tokens = visitor.frames.flatMap((frame) => (frame.t === 'receipt' ? [frame.token] : []));
    expect(tokens).toEqual([first, second, third]);
    await site.stop();
    await plane.close();
  });

  test('and cannot be taken up is told with the reason, unless another process is at work', async () => {
    const site = await makeSite({
      executor: (executor) => {
        executor.open = OP;
      },
    });
    const visitor = await site.connected();
    for (const code of ['BUSY', 'DISK_FULL']) {
      const process = await site.executor.process('resume');
      process.say({ t: 'refused', op: null, code });
      process.end();
    }
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'DISK_FULL' });
  });

  test('is also what an executor has in hand and has not written down yet', async () => {
    const site = await makeSite();
    const first = await site.connected();
    first.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    first.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
    await process.next();
    await process.next();
    first.terminate();
    const second = await site.plane.visitor();
    await second.greet();
    expect(await second.next('synced')).toEqual({ t: 'synced', open: OP });
  });

  test('is taken up also where the executor answers only later', async () => {
    const site = await makeSite({
      executor: (executor) => {
        executor.refuses = 'JOURNAL_UNSAFE';
        executor.open = OP;
      },
    });
    const visitor = await site.plane.visitor();
    const hello = await visitor.greet();
    expect(hello.jhead).toBeNull();
    site.executor.refuses = null;
    expect(await visitor.next('synced')).toEqual({ t: 'synced', open: OP });
    await site.executor.process('resume');
  });
});

describe.concurrent('the executor', () => {
  test('that is not there does not keep the link from being seen', async () => {
    const site = await makeSite({ without: 'executor' });
    const visitor = await site.plane.visitor();
    expect((await visitor.greet()).jhead).toBeNull();
    visitor.send({ t: 'prepare', op: OP, account: null });
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'EXECUTOR_UNAVAILABLE' });
    expect(codesIn(site.log)).toContain('EXECUTOR_UNAVAILABLE');
  });

  test('that refuses a cancel is heard with its own code', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.send({ t: 'cancel', op: OP, token: await commandToken(sampleCommand()) });
    const process = await site.executor.process('cancel');
    process.say({ t: 'refused', op: null, code: 'NONCE_UNKNOWN' });
    process.end();
    expect(await visitor.next('refused')).toEqual({ t: 'refused', op: OP, code: 'NONCE_UNKNOWN' });
  });
});
