// A machine's agent for tests of the control plane: real keys, real tokens and a real WebSocket, and no machine. It does
// what a test tells it, also what an agent must not do. Passwords never exist here.

import { randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { channelBinding, type Exporter } from '../../protocol/channel.ts';
import {
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../protocol/keys.ts';
import type { AgentState } from '../../protocol/lifecycle.ts';
import { READY_TTL_S } from '../../protocol/limits.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../protocol/receipt.ts';
import {
  type DownFrame,
  type Enrol,
  encodeFrame,
  type Facts,
  type Hello,
  parseDownFrame,
  type Ready,
  type UpFrame,
  type Welcome,
} from '../../protocol/session.ts';
import { payloadOf, signToken } from '../../protocol/token.ts';

const FRAME_WAIT_MS = 10_000;
export const random32 = () => toBase64url(randomBytes(32));
const uuid = () => crypto.randomUUID();

/** An agent's connection as a test sees it. */
export class Wire {
  readonly ws: WebSocket;
  channelBinding: string | null = null;
  readonly #frames: DownFrame[] = [];
  #wake: (() => void) | undefined;
  /** The close code, once closed. */
  readonly closed: Promise<number>;

  constructor(url: string, headers: Record<string, string> = {}, localAddress?: string) {
    const from = localAddress === undefined ? {} : { localAddress };
    // Whoever is at the other end is what a test is about; certificates are the real link's matter.
    this.ws = new WebSocket(url, { perMessageDeflate: false, headers, rejectUnauthorized: false, ...from });
    this.ws.once('upgrade', ({ socket }) => {
      this.channelBinding = channelBinding(socket as Exporter);
    });
    this.ws.on('message', (data) => {
      this.#frames.push(parseDownFrame(data as Buffer));
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => this.ws.once('close', (code) => resolve(code)));
    void this.closed.then(() => this.#wake?.());
    this.ws.on('error', () => undefined);
  }

  async opened(): Promise<this> {
    if (this.ws.readyState === WebSocket.CONNECTING) {
      await new Promise((resolve, reject) => this.ws.once('open', resolve).once('error', reject));
    }
    return this;
  }

  send(frame: UpFrame): void {
    this.ws.send(encodeFrame(frame));
  }

  /** The next frame of that kind; earlier frames of other kinds are dropped. */
  next<T extends DownFrame['t']>(t: T, withinMs = FRAME_WAIT_MS): Promise<Extract<DownFrame, { t: T }>> {
    return this.nextOf([t], withinMs);
  }

  async nextOf<T extends DownFrame['t']>(
    kinds: readonly T[],
    withinMs = FRAME_WAIT_MS,
  ): Promise<Extract<DownFrame, { t: T }>> {
    const until = performance.now() + withinMs;
    for (;;) {
      const frame = this.#frames.shift();
      if (frame && kinds.includes(frame.t as T)) return frame as Extract<DownFrame, { t: T }>;
      if (frame) continue;
      if (this.ws.readyState === WebSocket.CLOSED) throw new Error(`closed while waiting for ${kinds}`);
      if (performance.now() > until) throw new Error(`no ${kinds} came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, until - performance.now()));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Frames of that kind that have come and were not taken. */
  waiting(t: DownFrame['t']): number {
    return this.#frames.filter((frame) => frame.t === t).length;
  }

  async end(): Promise<void> {
    this.ws.close(1000);
    await this.closed;
  }
}

export type Misbehaviour = Readonly<{
  hello?: Partial<Hello>;
  helloKey?: SigningKey;
  enrol?: Partial<Enrol>;
  /** Another counter than the welcome's, in the answer to it. */
  helloOk?: number;
  headers?: Record<string, string>;
  /** What happens between the welcome and its answer. */
  meanwhile?: () => Promise<void>;
}>;

type Work = { cn: string; cmdSha256: string; receipts: { token: string; sha256: string; payload: Receipt }[] };

export class ScriptedAgent {
  /** Where it connects next. */
  url: string;
  readonly ik: SigningKey;
  readonly ek: SigningKey;
  agent = '';
  /** The code that the gateway gave for the last refusal, if it gave one. */
  told: string | null = null;
  ctr = 0;
  /** The newest welcome. */
  welcomed: Welcome | undefined;
  boot = uuid();
  account: Ready['account'] = { name: 'root', uid: 0, state: 'active' };
  vnc: Ready['vnc'] = [{ server: 'tigervnc:5901', kind: 'vncauth', effective: 8 }];
  /** The address of this machine that it connects from, where that matters. */
  from: string | undefined;
  readonly #works = new Map<string, Work>();
  #wire: Wire | undefined;

  private constructor(url: string, ik: SigningKey, ek: SigningKey) {
    this.url = url;
    this.ik = ik;
    this.ek = ek;
  }

  static async make(url: string): Promise<ScriptedAgent> {
    const [ik, ek] = await Promise.all([signingKeyFromSeed(randomBytes(32)), signingKeyFromSeed(randomBytes(32))]);
    return new ScriptedAgent(url, ik, ek);
  }

  /** Another holder of the same identity: a clone of the machine's disk. */
  clone(url = this.url): ScriptedAgent {
    const twin = new ScriptedAgent(url, this.ik, this.ek);
    Object.assign(twin, { agent: this.agent, ctr: this.ctr });
    return twin;
  }

  get wire(): Wire {
    if (!this.#wire) throw new Error('not connected');
    return this.#wire;
  }

  facts(hostname = 'guest'): Facts {
    const { boot } = this;
    const texts = { os: 'Test 1', kernel: '6.1', arch: 'x64', virtualisation: 'none', agent_version: '0.1.0' };
    return { ...texts, memory_bytes: 1, uptime_s: 1, boot, hostname };
  }

  /** Asks for an identity; answers the code of the refusal, or nothing. */
  async enrol(joinToken: string, { enrol = {}, headers }: Misbehaviour = {}): Promise<string | null> {
    const wire = await new Wire(this.url, headers, this.from).opened();
    const { sn } = await wire.next('challenge');
    const nonce = random32();
    const payload: Enrol = {
      v: 1,
      join_token: joinToken,
      sn,
      nonce,
      ik: this.ik.jwk,
      ek: this.ek.jwk,
      ek_proof: await signToken('lk-enrol-ek+jws', { v: 1, ik_kid: this.ik.kid, nonce }, this.ek),
      machine_sha256: random32(),
      facts: this.facts(),
      ...enrol,
    };
    wire.send({ t: 'enrol', token: await signToken('lk-enrol+jws', payload, this.ik) });
    const answer = await wire.nextOf(['enrolled', 'error']).catch(() => null);
    await wire.closed;
    if (answer?.t === 'enrolled') {
      this.agent = (payloadOf(answer.token) as { agent: string }).agent;
      return null;
    }
    return answer?.t === 'error' ? answer.code : 'CLOSED';
  }

  /** What it says of itself in answer to the challenge `sn`. */
  hello(members: Partial<Hello> & Pick<Hello, 'sn'>): Hello {
    return {
      v: 1,
      agent: this.agent,
      an: random32(),
      vmin: 1,
      vmax: 1,
      root_ver: 1,
      boot: this.boot,
      ctr: this.ctr,
      jhead: random32(),
      cb: null,
      agent_version: '0.1.0',
      ...members,
    };
  }

  /** Up to the welcome and its answer; `synced` is the test's to send. Answers the close code where it was refused. */
  async connect({
    hello = {},
    helloKey = this.ik,
    helloOk,
    headers,
    meanwhile,
  }: Misbehaviour = {}): Promise<number | null> {
    const wire = await new Wire(this.url, headers, this.from).opened();
    const { sn } = await wire.next('challenge');
    const payload = this.hello({ sn, cb: wire.channelBinding, ...hello });
    wire.send({ t: 'hello', token: await signToken('lk-hello+jws', payload, helloKey) });
    const welcome = await wire.nextOf(['welcome', 'error']).catch(() => null);
    this.told = welcome?.t === 'error' ? welcome.code : null;
    if (welcome?.t !== 'welcome') return wire.closed;
    this.welcomed = payloadOf(welcome.token) as Welcome;
    const { ctr } = this.welcomed;
    this.ctr = ctr;
    await meanwhile?.();
    wire.send({ t: 'hello_ok', ctr: helloOk ?? ctr });
    this.#wire = wire;
    return null;
  }

  /** Connected, with nothing under way. */
  async online(open: string | null = null, hello: Partial<Hello> = {}): Promise<this> {
    const refused = await this.connect({ hello });
    if (refused !== null) throw new Error(`refused with ${refused}`);
    this.wire.send({ t: 'synced', open });
    return this;
  }

  async offline(): Promise<void> {
    await this.#wire?.end();
    this.#wire = undefined;
  }

  /** Waits to be asked, and says that an executor waits. */
  async answerPrepare(change: Partial<Ready> = {}): Promise<string> {
    const { op } = await this.wire.next('prepare');
    await this.sayReady(op, change);
    return op;
  }

  async sayReady(op: string, change: Partial<Ready> = {}, key: SigningKey = this.ek): Promise<Ready> {
    const seal = await sealingKeyFromSeed(randomBytes(32));
    const ready: Ready = {
      v: 1,
      op,
      agent: this.agent,
      cn: random32(),
      seal: seal.jwk,
      ttl: READY_TTL_S,
      boot: this.boot,
      account: this.account,
      account_code: null,
      vnc: this.vnc,
      warnings: [],
      ...change,
    };
    this.wire.send({ t: 'ready', op, token: await signToken('lk-ready+jws', ready, key) });
    return ready;
  }

  /** Takes the command; from here on receipts can be written. */
  async takeCommand(): Promise<{ op: string; token: string; intent: string | undefined }> {
    const { op, token, intent } = await this.wire.next('command');
    const payload = payloadOf(token) as { cn: string };
    this.#works.set(op, { cn: payload.cn, cmdSha256: await sha256Text(canonicalBytes(payload)), receipts: [] });
    return { op, token, intent };
  }

  /** The next receipt of the chain, not sent yet. */
  async write(
    op: string,
    state: AgentState,
    change: Partial<Receipt> = {},
    key: SigningKey = this.ek,
  ): Promise<string> {
    const work = this.#works.get(op);
    if (!work) throw new Error('no command of that operation was taken');
    const last = work.receipts.at(-1);
    const payload: Receipt = {
      v: 1,
      op,
      agent: this.agent,
      n: (last?.payload.n ?? 0) + 1,
      prev: last?.sha256 ?? RECEIPT_GENESIS,
      state,
      code: null,
      warnings: [],
      cmd_sha256: work.cmdSha256,
      cn: work.cn,
      boot: this.boot,
      mono: 1,
      detail: {},
      ...change,
    };
    const token = await signToken('lk-receipt+jws', payload, key);
    work.receipts.push({ token, sha256: await sha256Text(canonicalBytes(payload)), payload });
    return token;
  }

  sendReceipt(token: string): void {
    this.wire.send({ t: 'receipt', token });
  }

  /** Writes, sends, and waits until it is acknowledged. */
  async report(op: string, state: AgentState, change: Partial<Receipt> = {}): Promise<number> {
    const token = await this.write(op, state, change);
    const { n } = payloadOf(token) as { n: number };
    this.sendReceipt(token);
    for (let acked = 0; acked !== n; ) {
      ({ n: acked } = payloadOf((await this.wire.next('ack')).token) as { n: number });
    }
    return n;
  }

  /** A whole reset of the account, with its reboot and the reconnect after it. */
  async carryOut(op: string): Promise<void> {
    await this.report(op, 'ACCEPTED', { detail: { account: 'root' } });
    await this.report(op, 'PASSWORD_SET');
    await this.report(op, 'REBOOTING', { detail: { boot_before: this.boot } });
    await this.offline();
    const before = this.boot;
    this.boot = uuid();
    await this.connect();
    await this.report(op, 'BOOTED', { detail: { boot_before: before, boot_after: this.boot } });
    await this.report(op, 'DONE', { detail: { verified: { account: true, vnc: 'absent', reboot: true } } });
    this.wire.send({ t: 'synced', open: null });
  }

  /** All receipts of an operation, as sent. */
  receipts(op: string): readonly string[] {
    return this.#works.get(op)?.receipts.map(({ token }) => token) ?? [];
  }
}
