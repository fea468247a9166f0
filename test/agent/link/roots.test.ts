// A root that was replaced while a machine was away, or while it is connected.

import { describe, expect, test } from 'vitest';
import { ROOT_BYTES_MAX, ROOT_HOPS_MAX } from '../../../protocol/limits.ts';
import { type RootPayload, type SignedRoot, signRoot } from '../../../protocol/root.ts';
import { keys, NOW_S, OP, sampleRoot } from '../../protocol/samples.ts';
import { receiptToken } from './executor-script.ts';
import { codesIn, makeSite, type Site, until } from './site.ts';

const listed = { [keys.spare.kid]: { jwk: keys.spare.jwk, expires: NOW_S + 31_536_000 } };
/** The session key gives way to another one. */
const rotated = (version: number): RootPayload =>
  sampleRoot({
    version,
    keys: { ...sampleRoot().keys, ...listed },
    roles: { ...sampleRoot().roles, session: { kids: [keys.spare.kid], threshold: 1 } },
  });
const signed = (root: RootPayload): Promise<SignedRoot> => signRoot(root, [keys.rootA, keys.rootB]);
const plain = (version: number) => signed(sampleRoot({ version }));

async function refused(site: Site, code: string): Promise<void> {
  await until(() => codesIn(site.log).includes(code));
  expect(site.progress).toHaveLength(1);
}

describe.concurrent('before the welcome', () => {
  test('the roots that a machine missed explain the key of the welcome, and reach the executor', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    const hello = await visitor.challenge();
    const chain = [await plain(2), await signed(rotated(3))];
    for (const document of chain) visitor.send({ t: 'root', document });
    await visitor.welcome(hello, { min_root: 3 }, keys.spare);
    await visitor.next('synced');
    expect(site.executor.roots).toEqual(chain);
    visitor.terminate();
    expect((await (await site.plane.visitor()).challenge()).root_ver).toBe(3);
  });

  test('an executor that is behind its link is brought what it lacks', async () => {
    const site = await makeSite();
    site.executor.refuses = 'DISK_FULL';
    const visitor = await site.plane.visitor();
    const hello = await visitor.challenge();
    const document = await plain(2);
    visitor.send({ t: 'root', document });
    await visitor.welcome(hello, { min_root: 2 });
    await visitor.next('hello_ok');
    visitor.terminate();
    site.executor.refuses = null;
    await site.connected();
    expect(site.executor.roots).toEqual([document]);
  });

  test('a key that the newest root withdrew welcomes nobody', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    const hello = await visitor.challenge();
    visitor.send({ t: 'root', document: await signed(rotated(2)) });
    await visitor.welcome(hello, {}, keys.session);
    await refused(site, 'KID_UNKNOWN');
  });

  test('a welcome that demands a newer root than it was brought is refused', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    await visitor.welcome(await visitor.challenge(), { min_root: 2 });
    await refused(site, 'ROOT_ROLLBACK');
  });

  test.each([
    ['a version too far', 'ROOT_ROLLBACK', () => plain(3)],
    ['too few signatures', 'ROOT_THRESHOLD', () => signRoot(sampleRoot({ version: 2 }), [keys.rootA])],
  ])('%s is %s', async (_, code, document) => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    await visitor.challenge();
    visitor.send({ t: 'root', document: await document() });
    await refused(site, code);
    expect(site.executor.roots).toEqual([]);
  });

  test('the 33rd root of one handshake is not read', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    await visitor.challenge();
    for (let n = 2; n <= ROOT_HOPS_MAX + 2; n += 1) visitor.send({ t: 'root', document: await plain(n) });
    await refused(site, 'ROOT_INVALID');
    // What was proven before it is kept: the next handshake goes on from there.
    expect((await (await site.plane.visitor()).challenge()).root_ver).toBe(ROOT_HOPS_MAX + 1);
  });

  test('a root beyond its size is not read', async () => {
    const site = await makeSite();
    const visitor = await site.plane.visitor();
    await visitor.challenge();
    const { payload, signatures } = await plain(2);
    const [signature] = signatures;
    const wide = { payload: payload + 'A'.repeat(ROOT_BYTES_MAX), signatures: [signature] };
    visitor.send({ t: 'root', document: wide });
    await refused(site, 'ROOT_INVALID');
  });
});

describe.concurrent('while it is connected', () => {
  test('a new root is in force at once, for its link and for executors', async () => {
    const site = await makeSite();
    const visitor = await site.connected();
    const document = await signed(rotated(2));
    visitor.send({ t: 'root', document });
    await until(() => site.executor.roots.length === 1);
    expect(site.executor.roots).toEqual([document]);
    visitor.terminate();
    expect((await (await site.plane.visitor()).challenge()).root_ver).toBe(2);
  });

  test('a root past its end ends no connection: what the machine has to report is told', async () => {
    const receipt = await receiptToken(1);
    const root = sampleRoot({ expires: NOW_S - 1 });
    const site = await makeSite({ root, executor: (executor) => executor.receipts.push(receipt) });
    const visitor = await site.connected();
    expect(visitor.frames.flatMap((frame) => (frame.t === 'receipt' ? [frame.token] : []))).toEqual([receipt]);
    visitor.send({ t: 'prepare', op: OP, account: null });
    const process = await site.executor.process('prepare');
    expect(await process.next()).toMatchObject({ t: 'prepare', op: OP });
  });
});
