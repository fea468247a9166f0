// SLOW: a real machine under emulation. Live snapshots, of memory and disk: one while an executor waits for its command, and
// one between operations. Whoever recorded what was said after a snapshot has nothing by it when the machine is put back: what
// the machine draws is new each time, and what was signed for the time that it forgot is refused.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it, type TestContext } from 'vitest';
import { issueFor, makeAuthority } from '../../control-plane/config/certificates.ts';
import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import { receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { hello as helloSchema, type Ready, type UpFrame } from '../../protocol/session.ts';
import { payloadOf } from '../../protocol/token.ts';
import { Issuer } from '../lab/issuer.ts';
import { drawPassword } from '../reset/scene.ts';
import { debianImage, type Image } from './image.ts';
import { AGENT_URL, Machine, makeMachineFolder } from './machine.ts';
import { demandMachines } from './requirements.ts';
import { makeDisk } from './template.ts';

const rootPassword = drawPassword();
/** The control plane's time stands still, so that no command is ever too old: freshness alone can refuse it. */
const now = Math.floor(Date.now() / 1000);

let issuer: Issuer;
let machine: Machine | undefined;
let before: Before | undefined;

/** What somebody recorded before the machine was put back. */
type Before = Readonly<{ ready: Ready; command: string }>;

beforeAll(async () => {
  const around = { nowMs: Date.now, randomBytes };
  const authority = await makeAuthority('test', 1, around);
  const server = await issueFor([new URL(AGENT_URL).hostname], 1, authority, around);
  issuer = await Issuer.start({ tls: { ...server, caPem: authority.cert }, nowS: () => now });
});

afterAll(async () => {
  await machine?.destroy();
  await issuer.stop();
});

async function open(context: TestContext): Promise<{ machine: Machine; before: Before }> {
  const debian = demandMachines(context);
  machine ??= await bootMachine(await debianImage(debian));
  before ??= await record(machine);
  return { machine, before };
}

async function bootMachine(image: Image): Promise<Machine> {
  const folder = makeMachineFolder();
  const personal = { trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken, rootPassword };
  const fresh = new Machine({
    name: 'snapshot',
    folder,
    image,
    disk: makeDisk(folder, image, personal),
    port: issuer.port,
  });
  await fresh.boot();
  await issuer.frame('synced');
  return fresh;
}

/** Both snapshots, and then an operation that is obeyed: what is recorded is good. */
async function record(vm: Machine): Promise<Before> {
  await vm.saveSnapshot('between');
  const ready = await issuer.prepare();
  await vm.saveSnapshot('waiting');
  const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(Uint8Array.from(randomBytes(32)))).jwk };
  const account = { name: null, uid: null, secret, unlock: false };
  const command = await issuer.command(ready, issuer.intent(ready, { account }));
  await issuer.frame('receipt', ({ token }) => receiptOf(token).state === 'PASSWORD_SET');
  return { ready, command };
}

const receiptOf = (token: string) => parseSchema(receiptSchema, payloadOf(token));
const helloNonces = () =>
  issuer.frames.flatMap((frame) => (frame.t === 'hello' ? [parseSchema(helloSchema, payloadOf(frame.token)).an] : []));
const expectAllDifferent = (values: readonly string[]) => expect(new Set(values).size).toBe(values.length);

/** What executors drew for the same operation, before and after. */
const drawn: Ready[] = [];

it.for([
  ['the moment at which an executor waited', 'waiting'],
  ['that moment once more', 'waiting'],
  ['a moment between operations', 'between'],
])('put back to %s, it refuses what was recorded, and draws anew', async ([, snapshot = ''], context) => {
  const { machine, before } = await open(context);
  const known = issuer.frames.length;
  const isNew = (frame: UpFrame) => issuer.frames.indexOf(frame) >= known;
  const { op } = before.ready;
  const replay = () => issuer.send({ t: 'command', op, token: before.command });
  await machine.restoreSnapshot(snapshot);
  await issuer.frame('synced', isNew);
  // The executor that waited is gone with the connection over which it was asked for.
  replay();
  expect(await issuer.frame('refused', isNew)).toMatchObject({ op, code: 'NONCE_UNKNOWN' });
  // Another one for the very same operation refuses by its own nonce; nothing else can know that the command was used.
  drawn.push(await issuer.prepare(null, op));
  replay();
  const { token } = await issuer.frame('receipt', (frame) => isNew(frame) && receiptOf(frame.token).op === op);
  expect(await issuer.read(token)).toMatchObject({ state: 'REFUSED', code: 'NONCE_UNKNOWN' });
  expectAllDifferent([before.ready, ...drawn].map(({ cn }) => cn));
  expectAllDifferent([before.ready, ...drawn].map(({ seal }) => seal.x));
  expectAllDifferent(helloNonces());
  expect(await machine.console.signIn('root', rootPassword)).toBe('in');
  await machine.console.signOut();
});
