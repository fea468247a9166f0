// One agent of a load: it speaks the real protocol with real keys, and keeps no more than it needs, since there are thousands of them.
// Against the bare server it only opens its socket.

import { randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';
import { sealingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { READY_TTL_S } from '../../protocol/limits.ts';
import {
  type DownFrame,
  encodeFrame,
  type Hello,
  parseDownFrame,
  type Ready,
  type Welcome,
} from '../../protocol/session.ts';
import { payloadOf, signToken } from '../../protocol/token.ts';
import { type Keys, keysOf } from './machines.ts';

const random32 = () => toBase64url(randomBytes(32));
const BOOT = crypto.randomUUID();

export class Member {
  readonly keys: Keys;
  ctr = 0;
  ws: WebSocket | undefined;
  onCommand: (op: string) => void = () => undefined;
  onAck: () => void = () => undefined;

  private constructor(keys: Keys) {
    this.keys = keys;
  }

  static async make(number: number): Promise<Member> {
    return new Member(await keysOf(number));
  }

  /** Whether it is in: up to `hello_ok`. */
  connect(url: string, isBare: boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const ws = new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true });
      this.ws = ws;
      ws.on('error', () => resolve(false));
      ws.on('close', () => resolve(false));
      if (isBare) ws.on('open', () => resolve(true));
      ws.on('message', (data) => {
        if (isBare) return this.#hear(JSON.parse(String(data)) as { t: string; op?: string });
        void this.#take(parseDownFrame(data as Buffer), resolve);
      });
    });
  }

  drop(): void {
    this.ws?.terminate();
  }

  send(text: string): void {
    this.ws?.send(text);
  }

  /** Milliseconds until the pong is here: what everything else that the server does costs this one. */
  ping(): Promise<number> {
    const since = performance.now();
    return new Promise((resolve) => {
      this.ws?.once('pong', () => resolve(performance.now() - since));
      this.ws?.ping();
    });
  }

  async #take(frame: DownFrame, resolve: (isIn: boolean) => void): Promise<void> {
    switch (frame.t) {
      case 'challenge':
        return this.send(encodeFrame({ t: 'hello', token: await this.#hello(frame.sn) }));
      case 'welcome':
        this.ctr = (payloadOf(frame.token) as Welcome).ctr;
        this.send(encodeFrame({ t: 'hello_ok', ctr: this.ctr }));
        this.send(encodeFrame({ t: 'synced', open: null }));
        return resolve(true);
      case 'prepare':
        return this.send(encodeFrame({ t: 'ready', op: frame.op, token: await this.#ready(frame.op) }));
      default:
        return this.#hear(frame as { t: string; op?: string });
    }
  }

  #hear({ t, op = '' }: Readonly<{ t: string; op?: string }>): void {
    if (t === 'command') this.onCommand(op);
    if (t === 'ack') this.onAck();
  }

  #hello(sn: string): Promise<string> {
    const { agent, ik } = this.keys;
    const hello: Hello = {
      ...{ v: 1, agent, sn, an: random32(), vmin: 1, vmax: 1, root_ver: 1, boot: BOOT, ctr: this.ctr },
      ...{ jhead: null, cb: null, agent_version: '0.1.0' },
    };
    return signToken('lk-hello+jws', hello, ik);
  }

  async #ready(op: string): Promise<string> {
    const { agent, ek } = this.keys;
    const seal = (await sealingKeyFromSeed(Uint8Array.from(randomBytes(32)))).jwk;
    const ready: Ready = {
      ...{ v: 1, op, agent, cn: random32(), seal, ttl: READY_TTL_S, boot: BOOT },
      account: { name: 'root', uid: 0, state: 'active' },
      ...{ account_code: null, vnc: [], warnings: [] },
    };
    return signToken('lk-ready+jws', ready, ek);
  }
}
