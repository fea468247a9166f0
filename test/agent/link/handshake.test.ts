// The handshake: both sides prove themselves, and neither the counter nor the time ever goes down.

import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { AGENT, BOOT, bytes32Text, keys, NOW_S, sampleRoot } from '../../protocol/samples.ts';
import type { Visitor } from './control-plane.ts';
import { codesIn, makeSite, type Site, until } from './site.ts';

/** Greets as told, and expects the link to end the connection with that code, having stored nothing. */
async function refuses(site: Site, code: string, spoil: (visitor: Visitor) => Promise<void>): Promise<void> {
  const visitor = await site.plane.visitor();
  await spoil(visitor);
  await visitor.closed;
  await until(() => codesIn(site.log).includes(code));
  expect(visitor.frames.map(({ t }) => t)).not.toContain('hello_ok');
  expect(site.progress).toHaveLength(1);
}
const welcomed =
  (changes: object, key = keys.session) =>
  async (visitor: Visitor) =>
    visitor.welcome(await visitor.challenge(), changes, key);

describe.concurrent('hello', () => {
  test('answers the challenge, signed by the link’s own key', async () => {
    const site = await makeSite();
    const hello = await (await site.plane.visitor()).challenge();
    expect(hello).toMatchObject({
      agent: AGENT,
      sn: bytes32Text(0x33),
      boot: BOOT,
      ctr: 0,
      root_ver: 1,
      jhead: bytes32Text(0x55),
    });
  });

  test('draws another nonce at each connection', async () => {
    const site = await makeSite();
    const first = await site.plane.visitor();
    const { an } = await first.challenge();
    first.terminate();
    expect((await (await site.plane.visitor()).challenge()).an).not.toBe(an);
  });

  test('is not said to one that does not challenge', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    visitor.send({ t: 'error', code: 'RATE_LIMITED' });
    await visitor.closed;
    expect(visitor.frames).toEqual([]);
  });
});

describe.concurrent('welcome', () => {
  test('is stored before the control plane may count it', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    await visitor.greet();
    expect(site.progress.at(-1)).toEqual({ ctr: 1, now: NOW_S });
  });

  test('that cannot be stored is not acknowledged, and the link tries again', async () => {
    let tries = 0;
    const site = await makeSite({
      parts: {
        storeProgress: async () => {
          tries += 1;
          throw new Failure('DISK_FULL');
        },
      },
    });
    await refuses(site, 'DISK_FULL', welcomed({}));
    await (await site.plane.visitor()).challenge();
    expect(tries).toBe(1);
  });

  test.each<[string, string, object]>([
    ['for another nonce', 'NONCE_UNKNOWN', { an: bytes32Text(1) }],
    ['for another agent', 'AUD_MISMATCH', { agent: `agt_${'0'.repeat(25)}9` }],
    ['with a counter that stays', 'STATE_ROLLED_BACK', { ctr: 0 }],
    ['with a counter that leaps', 'STATE_ROLLED_BACK', { ctr: 2 }],
    ['in a version that is not spoken', 'VERSION_UNSUPPORTED', { version: 99 }],
    ['in version 0', 'VERSION_UNSUPPORTED', { version: 0 }],
    ['with an unknown member', 'SCHEMA_INVALID', { admin: true }],
  ])('%s is %s', async (_, code, changes) => {
    await refuses(await makeSite(), code, welcomed(changes));
  });

  test('with a time before the last one', async () => {
    const progress = async () => ({ ctr: 4, now: NOW_S + 1 });
    const site = await makeSite({ parts: { readProgress: progress } });
    await refuses(site, 'STATE_ROLLED_BACK', welcomed({ ctr: 5 }));
  });

  test.each([
    ['a key that no root lists', 'KID_UNKNOWN', keys.spare],
    ['the command key', 'KID_UNKNOWN', keys.command],
    ['another key under the session key’s name', 'SIG_INVALID', { ...keys.spare, kid: keys.session.kid }],
  ] as const)('by %s is %s', async (_, code, key) => {
    await refuses(await makeSite(), code, welcomed({}, key));
  });

  test('by a session key past its end, by the time that the welcome itself brings', async () => {
    const end = sampleRoot().keys[keys.session.kid]?.expires ?? 0;
    await refuses(await makeSite(), 'KEY_EXPIRED', welcomed({ now: end + 1 }));
  });

  test('in a version older than the root’s policy allows', async () => {
    const root = sampleRoot({ policy: { ...sampleRoot().policy, min_v: 2 } });
    await refuses(await makeSite({ root }), 'VERSION_UNSUPPORTED', welcomed({}));
  });
});

describe.concurrent('frames', () => {
  test.each<[string, string | Uint8Array, number]>([
    ['a binary frame', Buffer.from('{"t":"error","code":"BUSY"}'), 1008],
    ['no JSON', 'hello', 1008],
    ['a duplicate key', '{"t":"error","code":"BUSY","code":"BUSY"}', 1008],
    ['an unknown type', '{"t":"shell"}', 1008],
    ['an unknown member', '{"t":"error","code":"BUSY","x":1}', 1008],
    ['a deep nesting', '['.repeat(30_000), 1008],
    ['a frame of 64 KiB and a byte', 'x'.repeat(65_537), 1009],
  ])('%s closes the connection', async (_, data, code) => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.sendRaw(data);
    expect((await visitor.closed).code).toBe(code);
    expect((await site.plane.visitor()) !== visitor).toBe(true);
  });

  test('in a flood are not all kept: they end the connection', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    for (let i = 0; i < 5_000; i += 1) visitor.send({ t: 'error', code: 'BUSY' });
    expect((await visitor.closed).code).toBe(1008);
    await until(() => codesIn(site.log).includes('RATE_LIMITED'));
    expect(codesIn(site.log).filter((code) => code === 'BUSY').length).toBeLessThan(5_000);
  });

  test('57 of text that is no UTF-8 closes the connection with 1007', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    visitor.sendText(Uint8Array.from([0x22, 0xc0, 0xaf, 0x22]));
    expect((await visitor.closed).code).toBe(1007);
  });
});

describe.concurrent('stopping', () => {
  test('ends a connection and the loop', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    const stopped = site.stop();
    await visitor.closed;
    await stopped;
  });

  test('while it is connecting does not leave it connected', async () => {
    const site = await makeSite({ executor: (executor) => void executor });
    const stopped = site.stop();
    await stopped;
    expect(site.plane.visits).toBeLessThanOrEqual(1);
  });
});
