// An agent that speaks the real protocol to a real control plane and touches no machine: it enrols, connects, says
// `ready`, and answers a command with signed, chained receipts and a sealed password of its own making.

import { WebSocket } from 'ws';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import { command as commandSchema } from '../../../protocol/command.ts';
import { type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import {
  type SealingKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import type { AgentState } from '../../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../../protocol/receipt.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { openSecret, type Slot, sealSecret } from '../../../protocol/seal.ts';
import { Secret } from '../../../protocol/secret.ts';
import { type DownFrame, encodeFrame, parseDownFrame, type UpFrame } from '../../../protocol/session.ts';
import { payloadOf, signToken } from '../../../protocol/token.ts';

const random = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count));
const nonce = (): string => toBase64url(random(32));
const BOOTS = ['00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b'] as const;

export const AGENT_MADE: Readonly<Record<Slot, string>> = { account: 'Made-in-the-Guest-7', vnc: 'inGuest7' };

export type SpeakingAgent = Readonly<{
  /** The passwords that reached it sealed. */
  typed: Partial<Record<Slot, string>>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
}>;

/** `onState` is called before each receipt leaves, and may take its time. */
export async function enrolAgent(
  url: string,
  joinToken: string,
  onState: (state: AgentState) => Promise<void> = async () => undefined,
): Promise<SpeakingAgent> {
  const [ik, ek] = [await signingKeyFromSeed(random(32)), await signingKeyFromSeed(random(32))];
  const agent = await enrol();
  const typed: Partial<Record<Slot, string>> = {};
  const outbox: { op: string; n: number; token: string }[] = [];
  let socket: WebSocket | undefined;
  let ctr = 0;
  let open: string | null = null;
  const waiting = new Map<string, { cn: string; seal: SealingKey }>();
  const send = (frame: UpFrame) => socket?.readyState === WebSocket.OPEN && socket.send(encodeFrame(frame));

  async function enrol(): Promise<string> {
    const { socket: line, frame } = await dial(url);
    if (frame.t !== 'challenge') throw new TypeError('no challenge');
    const said = nonce();
    const proof = await signToken('lk-enrol-ek+jws', { v: 1, ik_kid: ik.kid, nonce: said }, ek);
    const payload = {
      v: 1,
      join_token: joinToken,
      sn: frame.sn,
      nonce: said,
      ik: ik.jwk,
      ek: ek.jwk,
      ek_proof: proof,
      machine_sha256: nonce(),
      facts: null,
    };
    const answer = nextFrame(line);
    line.send(encodeFrame({ t: 'enrol', token: await signToken('lk-enrol+jws', payload, ik) }));
    const enrolled = await answer;
    line.terminate();
    if (enrolled.t !== 'enrolled') throw new TypeError(`not enrolled: ${JSON.stringify(enrolled)}`);
    return (payloadOf(enrolled.token) as { agent: string }).agent;
  }

  async function connect(): Promise<void> {
    const { socket: line, frame } = await dial(url);
    if (frame.t !== 'challenge') throw new TypeError('no challenge');
    socket = line;
    const greeted = nextFrame(line);
    const hello = {
      v: 1,
      agent,
      sn: frame.sn,
      an: nonce(),
      vmin: 1,
      vmax: 1,
      root_ver: 1,
      boot: BOOTS[0],
      ctr,
      jhead: null,
      cb: null,
      agent_version: '0.1.0',
    };
    send({ t: 'hello', token: await signToken('lk-hello+jws', hello, ik) });
    const welcome = await greeted;
    if (welcome.t !== 'welcome') throw new TypeError('no welcome');
    ({ ctr } = payloadOf(welcome.token) as { ctr: number });
    line.on('message', (data: Buffer) => void answer(parseDownFrame(data)));
    send({ t: 'hello_ok', ctr });
    for (const { token } of outbox) send({ t: 'receipt', token });
    send({ t: 'synced', open });
  }

  async function answer(frame: DownFrame): Promise<void> {
    if (frame.t === 'prepare') await prepare(frame.op);
    else if (frame.t === 'command') await execute(frame.token);
    else if (frame.t === 'ack') {
      const { op, n } = payloadOf(frame.token) as { op: string; n: number };
      outbox.splice(0, outbox.length, ...outbox.filter((entry) => entry.op !== op || entry.n > n));
    }
  }

  async function prepare(op: string): Promise<void> {
    const own = { cn: nonce(), seal: await sealingKeyFromSeed(random(32)) };
    waiting.set(op, own);
    const ready = {
      v: 1,
      op,
      agent,
      cn: own.cn,
      seal: own.seal.jwk,
      ttl: 600,
      boot: BOOTS[0],
      account: { name: 'root', uid: 0, state: 'active' },
      account_code: null,
      vnc: [{ server: 'tigervnc:5901', kind: 'vncauth', effective: 8 }],
      warnings: [],
    };
    send({ t: 'ready', op, token: await signToken('lk-ready+jws', ready, ek) });
  }

  async function execute(token: string): Promise<void> {
    const command = parseSchema(commandSchema, payloadOf(token));
    const { op } = command;
    const own = waiting.get(op);
    const intent = readIntent(command.intent ?? '');
    if (!own || own.cn !== command.cn || intent.act !== 'reset' || open) return;
    open = op;
    for (const slot of ['account', 'vnc'] as const) {
      const sealed = command.sealed?.[slot];
      if (sealed) typed[slot] = (await openSecret(sealed, { op, agent, dir: 'to-agent', slot }, own.seal)).reveal();
    }
    const facts = { op, cn: command.cn, cmd_sha256: await sha256Text(canonicalBytes(payloadOf(token))) };
    let prev = RECEIPT_GENESIS;
    const states = statesOf(intent);
    for (const [index, state] of states.entries()) {
      await onState(state);
      const payload = await receiptOf(state, { ...facts, n: index + 1, prev }, intent);
      prev = await sha256Text(canonicalBytes(payload));
      const signed = await signToken('lk-receipt+jws', payload, ek);
      outbox.push({ op, n: index + 1, token: signed });
      if (state === 'DONE') open = null;
      send({ t: 'receipt', token: signed });
    }
  }

  async function receiptOf(
    state: AgentState,
    facts: Pick<Receipt, 'op' | 'cn' | 'cmd_sha256' | 'n' | 'prev'>,
    intent: ResetIntent,
  ): Promise<Receipt> {
    const isBack = state === 'BOOTED' || state === 'DONE';
    const verified = {
      account: intent.account ? true : null,
      vnc: intent.vnc ? true : null,
      reboot: true,
    };
    return {
      v: 1,
      op: facts.op,
      agent,
      n: facts.n,
      prev: facts.prev,
      state,
      code: null,
      warnings: [],
      cmd_sha256: facts.cmd_sha256,
      cn: facts.cn,
      boot: BOOTS[isBack ? 1 : 0],
      mono: facts.n * 1_000,
      detail: state === 'DONE' ? { verified, boot_before: BOOTS[0], boot_after: BOOTS[1] } : {},
      ...(state === 'SECRET_READY' ? { sealed: await sealGenerated(facts.op, intent) } : {}),
    };
  }

  async function sealGenerated(op: string, intent: ResetIntent): Promise<NonNullable<Receipt['sealed']>> {
    const sealed: Partial<Record<Slot, string>> = {};
    for (const slot of ['account', 'vnc'] as const) {
      const source = intent[slot]?.secret;
      if (source?.mode !== 'generated') continue;
      const context = { op, agent, dir: 'to-operator', slot } as const;
      sealed[slot] = await sealSecret(Secret.ofText(AGENT_MADE[slot]), context, source.recipient_jwk, random);
    }
    return sealed;
  }

  const disconnect = async () => {
    socket?.terminate();
  };
  return { typed, connect, disconnect };
}

function statesOf({ account, vnc }: ResetIntent): AgentState[] {
  const isGenerated = account?.secret.mode === 'generated' || vnc?.secret.mode === 'generated';
  return [
    'ACCEPTED',
    ...(isGenerated ? (['SECRET_READY'] as const) : []),
    ...(account ? (['PASSWORD_SET'] as const) : []),
    ...(vnc ? (['VNC_SET'] as const) : []),
    'REBOOTING',
    'BOOTED',
    'DONE',
  ];
}

async function dial(url: string): Promise<{ socket: WebSocket; frame: DownFrame }> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on('error', () => undefined);
  return { socket, frame: await nextFrame(socket) };
}

function nextFrame(socket: WebSocket): Promise<DownFrame> {
  return new Promise((resolve, reject) => {
    socket.once('message', (data: Buffer) => resolve(parseDownFrame(data)));
    socket.once('close', () => reject(new Error('closed')));
  });
}
