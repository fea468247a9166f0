// The same through real sockets: a gateway's WebSocket, before and after its peer has proven itself, and an executor's unix
// socket, with a command that would be obeyed were it not spoilt. What counts is what they did, and that they still work.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Channel } from '../../agent/executor/channel.ts';
import { serveConnection } from '../../agent/executor/session.ts';
import type { Ready } from '../../protocol/session.ts';
import { payloadOf } from '../../protocol/token.ts';
import { makeGuest } from '../agent/executor/guest.ts';
import { order } from '../agent/executor/orders.ts';
import { type ScriptedAgent, Wire } from '../control-plane/scripted-agent.ts';
import { World } from '../control-plane/world.ts';
import { frames } from '../protocol/message-samples.ts';
import { Chance } from '../simulation/chance.ts';
import { spoil } from './spoil.ts';

export type SocketTally = Readonly<{ inputs: number; closed: number; findings: readonly string[] }>;

/** A session takes this many frames at once and then slows its peer down. */
const FRAMES_A_SESSION = 150;
const ANSWER_MS_MAX = 5_000;

/** Spoilt frames to a gateway, one connection after the other. */
export async function fuzzGateway(seed: number, count: number): Promise<SocketTally> {
  const world = await World.start({
    handshakesMax: 10_000,
    handshakesPerClientMax: 10_000,
    failuresPerMinuteMax: 1_000_000,
  });
  try {
    const agent = await world.machine();
    const { op } = await world.sent(agent);
    await agent.report(op, 'ACCEPTED', { detail: { account: 'root' } });
    const receipt = await agent.write(op, 'PASSWORD_SET');
    await agent.offline();
    const corpus = [...frames.up, { t: 'receipt', token: receipt } as const, { t: 'synced', open: op } as const];
    const chance = new Chance(seed);
    let [inputs, closed] = [0, 0];
    while (inputs < count) {
      const proven = chance.oneIn(2);
      const wire = proven ? await again(agent, op) : await new Wire(world.agentUrl).opened();
      for (let said = 0; said < FRAMES_A_SESSION && inputs < count && wire.ws.readyState === wire.ws.OPEN; said += 1) {
        wire.ws.send(await spoilt(corpus, chance), { binary: false });
        inputs += 1;
        await settled(wire);
      }
      closed += wire.ws.readyState === wire.ws.OPEN ? 0 : 1;
      wire.ws.terminate();
      await wire.closed;
    }
    return { inputs, closed, findings: await findingsOf(world, agent, op) };
  } finally {
    await world.stop();
  }
}

async function again(agent: ScriptedAgent, op: string): Promise<Wire> {
  const refused = await agent.connect();
  if (refused !== null) throw new Error(`a real hello was refused: ${refused} ${agent.told}`);
  agent.wire.send({ t: 'synced', open: op });
  return agent.wire;
}

/** A real frame, spoilt: never one that says what was really to be said. */
async function spoilt(corpus: readonly object[], chance: Chance): Promise<Buffer> {
  const real = corpus.map((frame) => Buffer.from(JSON.stringify(frame)));
  const pick = () => real[chance.int(real.length)] as Buffer;
  for (;;) {
    const input = Buffer.from(spoil(pick(), pick(), chance));
    if (!real.some((frame) => frame.equals(input))) return input;
  }
}

/** Until the gateway has closed, or answers a ping: then it has read what was sent before it. */
async function settled({ ws, closed }: Wire): Promise<void> {
  const answered = new Promise<void>((resolve) => ws.once('pong', () => resolve()));
  try {
    ws.ping();
  } catch {
    return;
  }
  const patience = new Promise<void>((resolve) => setTimeout(resolve, ANSWER_MS_MAX).unref());
  await Promise.race([answered, closed, patience]);
}

async function findingsOf(world: World, agent: ScriptedAgent, op: string): Promise<string[]> {
  const defects = world.logged.filter((line) => line.includes('"code":"INTERNAL"') || line.includes('"level":60'));
  const { state, receipts } = await world.operation(op);
  const moved = state === 'ACCEPTED' && receipts.length === 1 ? [] : [`the operation moved to ${state}`];
  // It still works: the same machine comes back, and its next real receipt is taken.
  await again(agent, op);
  agent.sendReceipt(agent.receipts(op)[1] ?? '');
  await world.until(op, 'PASSWORD_SET');
  await agent.offline();
  return [...defects, ...moved];
}

/** Spoilt requests to executors, each a process of its own in the real agent and a connection of its own here. */
export async function fuzzExecutor(seed: number, count: number): Promise<SocketTally> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-fuzz-'));
  const path = join(folder, 'executor.sock');
  const findings: string[] = [];
  const guest = makeGuest();
  const server = createServer((socket) => {
    const channel = new Channel(socket);
    serveConnection(guest.parts, channel)
      .then(() => channel.end())
      .catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error)) findings.push(String(error));
        socket.destroy();
      });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const chance = new Chance(seed);
    let [inputs, closed] = [0, 0];
    for (; inputs < count; inputs += 1) closed += (await oneRequest(path, inputs, chance)) ? 1 : 0;
    const { changes } = guest.machine.accounts.get('root') ?? { changes: -1 };
    if (changes !== 0) findings.push(`the account was changed ${changes} times`);
    if (guest.machine.boots !== 1) findings.push('the machine was rebooted');
    return { inputs, closed, findings };
  } finally {
    await closeServer(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Asks for an executor, takes its `ready`, and sends it a command that differs from the right one. Whether it only hung up. */
async function oneRequest(path: string, turn: number, chance: Chance): Promise<boolean> {
  const socket = connect(path).setEncoding('utf8');
  const lines: string[] = [];
  let partial = '';
  let wake = () => {};
  socket.on('data', (chunk: string) => {
    const parts = `${partial}${chunk}`.split('\n');
    partial = parts.pop() ?? '';
    lines.push(...parts);
    wake();
  });
  let gone = false;
  socket
    .on('error', () => socket.destroy())
    .on('close', () => {
      gone = true;
      wake();
    });
  const until = async (count: number) => {
    while (lines.length < count && !gone) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  // Another operation each time: what the ledger knows already would be refused early.
  const prepare = { t: 'prepare', op: `op_${String(turn).padStart(26, '0')}`, account: null };
  socket.write(`${JSON.stringify(prepare)}\n`);
  await until(1);
  const { token } = JSON.parse(lines[0] ?? '{}') as { token: string };
  const right = await order(payloadOf(token) as unknown as Ready);
  const execute = { t: 'execute', token: right };
  const others = [prepare, { t: 'cancel', token: right }, { t: 'ack', token: right }, { t: 'receipts' }];
  socket.write(Buffer.concat([await spoilt([execute, execute, execute, ...others], chance), Buffer.from('\n')]));
  await until(2);
  socket.destroy();
  return lines.length < 2;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
