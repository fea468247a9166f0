// Channel binding on the gateway's side, over real TLS: the machine itself gets in, and whoever ends TLS in between does not,
// although every byte that it passes on is genuine.

import { createServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { connect, createServer as createTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { complete, draftOf, nextRoot, sign } from '../../../control-plane/cli/keys/root-draft.ts';
import { readKey } from '../../../control-plane/config/key-file.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { TrustChain } from '../../../control-plane/config/trust-chain.ts';
import { AGENT_PATH, openDoor } from '../../../control-plane/gateway/endpoint.ts';
import { type Certificate, CertificateMaker, hasOpenssl } from '../../agent/link/certificates.ts';
import { unavailable } from '../../requirements.ts';
import { random32, type ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

const REFUSED = 1008;
let world: World;
let maker: CertificateMaker | undefined;
const servers: Server[] = [];
beforeEach(async () => {
  world = await World.start();
  if (await hasOpenssl()) maker = await CertificateMaker.open();
});
afterEach(async () => {
  await world.stop();
  for (const server of servers.splice(0)) server.close();
  await maker?.close();
});

const portOf = async (server: Server): Promise<number> => {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};

/** The world's gateway behind TLS of its own, and behind a relay that ends TLS and passes everything on. */
async function doors({ cert, key }: Certificate): Promise<{ own: string; relayed: string }> {
  const secure = createServer({ cert, key, minVersion: 'TLSv1.3' });
  openDoor(secure, world.gateway);
  const port = await portOf(secure);
  const relay = createTls({ cert, key, minVersion: 'TLSv1.3' }, (client) => {
    const onward = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    for (const [from, to] of [
      [client, onward],
      [onward, client],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
    }
  });
  const relayPort = await portOf(relay);
  const at = (number: number) => `wss://127.0.0.1:${number}${AGENT_PATH}`;
  return { own: at(port), relayed: at(relayPort) };
}

/** Publishes the next root of this installation, with or without channel binding. */
async function demand(cb: 'required' | 'off'): Promise<void> {
  const paths = pathsIn(world.data);
  const chain = await TrustChain.open(paths);
  const { root } = await chain.newest();
  const next = await nextRoot(root, { expires: root.expires, channelBinding: cb });
  await chain.publish(await complete(root, await sign(draftOf(next), next, await readKey(paths.rootKey))));
}

const flagsOf = async (agent: ScriptedAgent) => (await world.vmOf(agent)).flags;

describe('where the root demands channel binding', () => {
  test('a machine at the other end of the gateway’s own TLS gets in, and is told so', async (context) => {
    if (!maker) return unavailable(context, 'openssl', 'apt-get install openssl');
    const { own } = await doors(await maker.make());
    await demand('required');
    const agent = (await world.enrolled()).clone(own);
    expect(await agent.connect()).toBeNull();
    expect(agent.welcomed?.cb).toBe(agent.wire.channelBinding);
    expect(agent.welcomed?.cb).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await flagsOf(agent)).toEqual([]);
    await agent.offline();
  });

  test('one behind a relay that ends TLS is refused, and flagged once', async (context) => {
    if (!maker) return unavailable(context, 'openssl', 'apt-get install openssl');
    const { relayed } = await doors(await maker.make());
    await demand('required');
    const agent = (await world.enrolled()).clone(relayed);
    expect(await agent.connect()).toBe(REFUSED);
    expect(await agent.connect()).toBe(REFUSED);
    expect(await flagsOf(agent)).toEqual(['CHANNEL_MISMATCH']);
    const said = await world.events();
    expect(said.filter(({ data }) => data['code'] === 'CHANNEL_MISMATCH')).toHaveLength(1);
  });

  test('a hello without the value, or with another, is refused: there is no way to agree on less', async (context) => {
    if (!maker) return unavailable(context, 'openssl', 'apt-get install openssl');
    const { own } = await doors(await maker.make());
    await demand('required');
    const agent = (await world.enrolled()).clone(own);
    expect(await agent.connect({ hello: { cb: null } })).toBe(REFUSED);
    expect(await agent.connect({ hello: { cb: random32() } })).toBe(REFUSED);
    expect(await agent.connect()).toBeNull();
    await agent.offline();
  });

  test('a connection without TLS is refused', async () => {
    await demand('required');
    const agent = await world.enrolled();
    expect(await agent.connect()).toBe(REFUSED);
    expect(await agent.connect({ hello: { cb: random32() } })).toBe(REFUSED);
  });
});

test('where the root does not demand it, a relay that ends TLS may stand in between', async (context) => {
  if (!maker) return unavailable(context, 'openssl', 'apt-get install openssl');
  const { relayed } = await doors(await maker.make());
  const agent = (await world.enrolled()).clone(relayed);
  expect(await agent.connect()).toBeNull();
  expect(agent.welcomed?.cb).toBeUndefined();
  await agent.offline();
});
