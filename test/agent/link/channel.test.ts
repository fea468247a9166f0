// Channel binding on the link's side: where the root demands it, a gateway at the other end of this very TLS session says so
// in its welcome, or is left.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytes32Text, sampleRoot } from '../../protocol/samples.ts';
import { unavailable } from '../../requirements.ts';
import { CertificateMaker, hasOpenssl } from './certificates.ts';
import { codesIn, makeSite, type Site, until } from './site.ts';

let maker: CertificateMaker | undefined;
beforeAll(async () => {
  if (await hasOpenssl()) maker = await CertificateMaker.open();
});
afterAll(() => maker?.close());

const required = sampleRoot({ policy: { ...sampleRoot().policy, cb: 'required' } });

async function secureSite(context: { skip: (note?: string) => never }, root = required): Promise<Site> {
  if (!maker) return unavailable(context as never, 'openssl', 'apt-get install openssl');
  return makeSite({ root, tls: { ...(await maker.make()), caPem: maker.caPem } });
}

async function leaves(site: Site): Promise<void> {
  await until(() => codesIn(site.log).includes('CHANNEL_MISMATCH'));
  expect(site.progress).toHaveLength(1);
}

describe('a root that demands channel binding', () => {
  test('lets a gateway be greeted that confirms the value', async (context) => {
    const site = await secureSite(context);
    const visitor = await site.plane.visitor();
    const hello = await visitor.challenge();
    expect(hello.cb).toMatch(/^[A-Za-z0-9_-]{43}$/);
    await visitor.welcome(hello, { cb: hello.cb as string });
    await visitor.next('hello_ok');
    expect(site.progress).toHaveLength(2);
  });

  test('makes the link leave one that confirms another value: CHANNEL_MISMATCH', async (context) => {
    const site = await secureSite(context);
    const visitor = await site.plane.visitor();
    await visitor.welcome(await visitor.challenge(), { cb: bytes32Text(9) });
    await leaves(site);
  });

  test('makes the link leave one that confirms nothing: there is no way to agree on less', async (context) => {
    const site = await secureSite(context);
    const visitor = await site.plane.visitor();
    await visitor.welcome(await visitor.challenge());
    await leaves(site);
  });

  test('makes the link leave a connection without TLS, whatever is confirmed, or nothing', async () => {
    for (const confirmed of [{ cb: bytes32Text(9) }, {}]) {
      const site = await makeSite({ root: required });
      const visitor = await site.plane.visitor();
      const hello = await visitor.challenge();
      expect(hello.cb).toBeNull();
      await visitor.welcome(hello, confirmed);
      await leaves(site);
    }
  });
});

test('the value is said also where the root does not demand it: a newer root may, and it is another at each connection', async (context) => {
  const site = await secureSite(context, sampleRoot());
  const first = await site.plane.visitor();
  const { cb } = await first.challenge();
  first.terminate();
  const second = await (await site.plane.visitor()).challenge();
  expect(cb).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(second.cb).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(second.cb).not.toBe(cb);
});
