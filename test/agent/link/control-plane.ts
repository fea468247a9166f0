// A small scripted control plane: a WebSocket server that speaks as a gateway does, with real tokens, and can be told to
// misbehave at any point.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import type { SigningKey } from '../../../protocol/keys.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import {
  type Hello,
  hello as helloSchema,
  parseUpFrame,
  type UpFrame,
  type Welcome,
} from '../../../protocol/session.ts';
import { onlyKey, signToken, verifyToken } from '../../../protocol/token.ts';
import { AGENT, bytes32Text, keys, NOW_S } from '../../protocol/samples.ts';

type Frame = { t: string; [member: string]: unknown };

/** One connection of a link. */
export class Visitor {
  readonly frames: UpFrame[] = [];
  readonly closed: Promise<{ code: number }>;
  readonly #ws: WebSocket;
  #wake: () => void = () => {};
  #taken = 0;
  #gone = false;

  constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('message', (data) => {
      this.frames.push(parseUpFrame(data as Buffer));
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      ws.on('close', (code) => {
        this.#gone = true;
        this.#wake();
        resolve({ code });
      }),
    );
    ws.on('error', () => {});
  }

  send(frame: Frame): void {
    this.#ws.send(JSON.stringify(frame));
  }

  sendRaw(data: string | Uint8Array): void {
    this.#ws.send(data);
  }

  /** As a text frame, whatever the bytes. */
  sendText(data: Uint8Array): void {
    this.#ws.send(data, { binary: false });
  }

  terminate(): void {
    this.#ws.terminate();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  /** The next frame of one of these types; others before it are passed over. */
  async next<T extends UpFrame['t']>(...types: T[]): Promise<Extract<UpFrame, { t: T }>> {
    for (;;) {
      while (this.#taken < this.frames.length) {
        const frame = this.frames[this.#taken];
        this.#taken += 1;
        if (frame && (types as string[]).includes(frame.t)) return frame as Extract<UpFrame, { t: T }>;
      }
      if (this.#gone) throw new Error(`gone without ${types.join()}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Challenges, and reads the hello that answers it. */
  async challenge(): Promise<Hello> {
    const sn = bytes32Text(0x33);
    this.send({ t: 'challenge', sn });
    const { token } = await this.next('hello');
    const { payload } = await verifyToken(token, 'lk-hello+jws', onlyKey(keys.ik.kid, keys.ik.jwk));
    return parseSchema(helloSchema, payload);
  }

  async welcome(hello: Hello, changes: Partial<Welcome> = {}, key: SigningKey = keys.session): Promise<void> {
    const payload: Welcome = {
      v: 1,
      agent: AGENT,
      an: hello.an,
      sid: bytes32Text(0x44),
      version: 1,
      now: NOW_S,
      min_root: 1,
      ctr: hello.ctr + 1,
      ...changes,
    };
    this.send({ t: 'welcome', token: await signToken('lk-welcome+jws', payload, key) });
  }

  /** The whole handshake, as it should go. */
  async greet(changes: Partial<Welcome> = {}): Promise<Hello> {
    const hello = await this.challenge();
    await this.welcome(hello, changes);
    await this.next('hello_ok');
    return hello;
  }
}

export class ControlPlane {
  readonly #http: Server;
  readonly #visitors: Visitor[] = [];
  #wake: () => void = () => {};
  #taken = 0;
  requests = 0;

  constructor(http: Server = createServer()) {
    this.#http = http;
    const wss = new WebSocketServer({ server: http });
    http.on('upgrade', () => {
      this.requests += 1;
    });
    wss.on('connection', (ws) => {
      this.#visitors.push(new Visitor(ws));
      this.#wake();
    });
  }

  async listen(scheme: 'ws' | 'wss' = 'ws', host = '127.0.0.1'): Promise<URL> {
    await new Promise<void>((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
    return new URL(`${scheme}://${host}:${(this.#http.address() as AddressInfo).port}/agent`);
  }

  get visits(): number {
    return this.#visitors.length;
  }

  async visitor(): Promise<Visitor> {
    while (this.#taken >= this.#visitors.length) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#taken += 1;
    return this.#visitors[this.#taken - 1] as Visitor;
  }

  async close(): Promise<void> {
    for (const visitor of this.#visitors) visitor.terminate();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** A token whose payload is what it is, signed by the command key or another. */
export const commandToken = (changes: object = {}, key: SigningKey = keys.command): Promise<string> =>
  signToken('lk-command+jws', JSON.parse(new TextDecoder().decode(canonicalBytes(changes))), key);
