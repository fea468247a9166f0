// A control plane of the test's own: real keys, real tokens, a real WebSocket, and no rule that would keep it from signing
// what the product's signer refuses to sign. For what an agent must refuse although the signature is right.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createPlainServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { type SigningKey, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { type Receipt, receipt as receiptSchema } from '../../protocol/receipt.ts';
import { type Operators, type RootPayload, signRoot } from '../../protocol/root.ts';
import { type Ed25519Jwk, newId, parseSchema } from '../../protocol/schema.ts';
import { enrol, hello, type Ready, ready as readySchema, type UpFrame } from '../../protocol/session.ts';
import { onlyKey, payloadOf, signToken, verifyToken } from '../../protocol/token.ts';
import type { TrustFile } from '../../protocol/trust.ts';

const YEAR_S = 31_536_000;
const nonce = () => toBase64url(randomBytes(32));

export type IssuerOptions = Readonly<{
  /** PEM texts: with them it is reached by wss. */
  tls?: Readonly<{ cert: string; key: string; caPem: string }>;
  /** Its root then names their keys and demands a proof by one of them for every reset. */
  operators?: Operators;
  /** Its time; what a machine knows of the time is from here. */
  nowS?: () => number;
}>;

export type IssuerKeys = Readonly<{ root: SigningKey; command: SigningKey; session: SigningKey }>;

export class Issuer {
  readonly keys: IssuerKeys;
  readonly root: RootPayload;
  readonly agent = newId('agt', randomBytes);
  readonly project = 'default';
  readonly joinToken = `lkj_${nonce()}`;
  readonly frames: UpFrame[] = [];
  ek: Ed25519Jwk | undefined;
  readonly #server: Server;
  readonly #door: WebSocketServer;
  readonly #caPem: string;
  readonly #nowS: () => number;
  #socket: WebSocket | undefined;
  #woken: (() => void)[] = [];
  #boots: string[] = [];
  #synced = false;

  private constructor(keys: IssuerKeys, server: Server, options: IssuerOptions) {
    const { operators } = options;
    this.keys = keys;
    this.#server = server;
    this.#door = new WebSocketServer({ server });
    this.#caPem = options.tls?.caPem ?? '';
    this.#nowS = options.nowS ?? (() => Math.floor(Date.now() / 1000));
    const entry = ({ jwk }: SigningKey) => ({ jwk, expires: this.#nowS() + YEAR_S });
    const role = ({ kid }: SigningKey) => ({ kids: [kid], threshold: 1 });
    this.root = {
      v: 1,
      iss: newId('ins', randomBytes),
      version: 1,
      expires: this.#nowS() + YEAR_S,
      keys: Object.fromEntries(Object.values(keys).map((key) => [key.kid, entry(key)])),
      roles: {
        root: role(keys.root),
        command: role(keys.command),
        session: role(keys.session),
        ...(operators ? { operators } : {}),
      },
      policy: { min_v: 1, cb: 'off', require_operator_proof: operators !== undefined },
    };
    this.#door.on('connection', (socket) => this.#serve(socket));
  }

  static async start(options: IssuerOptions = {}): Promise<Issuer> {
    const key = () => signingKeyFromSeed(randomBytes(32));
    const [root, command, session] = await Promise.all([key(), key(), key()]);
    const server = options.tls ? createTlsServer({ ...options.tls, minVersion: 'TLSv1.3' }) : createPlainServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Issuer({ root, command, session }, server, options);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The trust file for a guest that reaches this issuer at `url`. */
  async trust(url: string): Promise<TrustFile> {
    return { v: 1, url: [url], ca_pem: this.#caPem, root: await signRoot(this.root, [this.keys.root]) };
  }

  async stop(): Promise<void> {
    for (const client of this.#door.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The first frame, of those that came and those to come, that fits. */
  async frame<T extends UpFrame['t']>(t: T, fits: (frame: Extract<UpFrame, { t: T }>) => boolean = () => true) {
    for (;;) {
      const found = this.frames.find(
        (frame): frame is Extract<UpFrame, { t: T }> => frame.t === t && fits(frame as never),
      );
      if (found) return found;
      await new Promise<void>((resolve) => this.#woken.push(resolve));
    }
  }

  /** Waits until the agent has caught up in a connection of that boot: 0 is the first. */
  async connected(reboots: number): Promise<void> {
    while (new Set(this.#boots).size <= reboots || !this.#synced) {
      await new Promise<void>((resolve) => this.#woken.push(resolve));
    }
  }

  /** Receipts of an operation so far, each verified with the executor's key. */
  async receipts(op: string): Promise<readonly Receipt[]> {
    const found: Receipt[] = [];
    for (const frame of this.frames) {
      if (frame.t !== 'receipt') continue;
      const claimed = parseSchema(receiptSchema, payloadOf(frame.token));
      if (claimed.op !== op || found.some(({ n }) => n === claimed.n)) continue;
      found.push(await this.read(frame.token));
    }
    return found;
  }

  /** A receipt, verified with the executor's key. */
  async read(token: string): Promise<Receipt> {
    return parseSchema(receiptSchema, await this.#byExecutor(token, 'lk-receipt+jws'));
  }

  /** Waits for the operation's end and returns its last receipt. */
  async end(op: string): Promise<Receipt> {
    for (;;) {
      const last = (await this.receipts(op)).at(-1);
      if (last && ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED'].includes(last.state))
        return last;
      await new Promise<void>((resolve) => this.#woken.push(resolve));
    }
  }

  /** What the machine's executor is ready for; `op` may be one that it was ready for before. */
  async prepare(account: string | null = null, op: string = newId('op', randomBytes)): Promise<Ready> {
    await this.frame('synced');
    const known = this.frames.length;
    this.send({ t: 'prepare', op, account });
    const { token } = await this.frame('ready', (frame) => frame.op === op && this.frames.indexOf(frame) >= known);
    return parseSchema(readySchema, await this.#byExecutor(token, 'lk-ready+jws'));
  }

  /** An ordinary intent for what was prepared; `changes` replace or add members, whatever they are. */
  intent({ op }: Ready, changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    return {
      v: 1,
      op,
      project: this.project,
      agent: this.agent,
      method: 'online',
      operator: 'test-operator',
      nonce: nonce(),
      not_after: this.#nowS() + 900,
      act: 'reset',
      reboot: { kind: 'normal', grace_s: 0 },
      ...changes,
    };
  }

  /** Signs a command over an intent, with any members changed, and sends it. */
  async command(
    ready: Ready,
    intent: object,
    changes: Readonly<Record<string, unknown>> = {},
    key = this.keys.command,
  ): Promise<string> {
    const payload = {
      v: 1,
      iss: this.root.iss,
      aud: this.agent,
      op: ready.op,
      cn: ready.cn,
      iat: this.#nowS(),
      exp: this.#nowS() + 60,
      root_ver: 1,
      intent: toBase64url(canonicalBytes(intent)),
      authz: { operator: 'test-operator', method: 'totp', at: this.#nowS() },
      ...changes,
    };
    const token = await signToken('lk-command+jws', payload, key);
    this.send({ t: 'command', op: ready.op, token });
    return token;
  }

  send(frame: object): void {
    this.#socket?.send(JSON.stringify(frame));
  }

  #byExecutor(token: string, typ: 'lk-ready+jws' | 'lk-receipt+jws') {
    const { ek } = this;
    if (!ek) throw new Error('no executor is enrolled');
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string };
    return verifyToken(token, typ, onlyKey(kid, ek)).then(({ payload }) => payload);
  }

  #serve(socket: WebSocket): void {
    // One at a time: signing an answer takes a while that varies, and frames must not overtake each other here.
    let taken = Promise.resolve();
    socket.on('message', (data) => {
      taken = taken.then(() => this.#take(socket, JSON.parse(String(data)) as UpFrame));
    });
    socket.send(JSON.stringify({ t: 'challenge', sn: nonce() }));
  }

  async #take(socket: WebSocket, frame: UpFrame): Promise<void> {
    const session = (typ: 'lk-enrolled+jws' | 'lk-welcome+jws' | 'lk-ack+jws', payload: object) =>
      signToken(typ, payload, this.keys.session);
    if (frame.t === 'enrol') {
      const asked = parseSchema(enrol, payloadOf(frame.token));
      this.ek = asked.ek;
      const answer = {
        v: 1,
        iss: this.root.iss,
        agent: this.agent,
        project: this.project,
        nonce: asked.nonce,
        now: this.#nowS(),
      };
      socket.send(JSON.stringify({ t: 'enrolled', token: await session('lk-enrolled+jws', answer) }));
    }
    if (frame.t === 'hello') {
      const { an, ctr, boot } = parseSchema(hello, payloadOf(frame.token));
      const welcome = {
        v: 1,
        agent: this.agent,
        an,
        sid: nonce(),
        version: 1,
        now: this.#nowS(),
        min_root: 1,
        // It keeps no count of its own: a machine that was put back is welcome.
        ctr: ctr + 1,
      };
      this.#socket = socket;
      this.#boots.push(boot);
      this.#synced = false;
      socket.send(JSON.stringify({ t: 'welcome', token: await session('lk-welcome+jws', welcome) }));
    }
    if (frame.t === 'receipt') {
      const { op, n } = parseSchema(receiptSchema, payloadOf(frame.token));
      socket.send(JSON.stringify({ t: 'ack', token: await session('lk-ack+jws', { v: 1, agent: this.agent, op, n }) }));
    }
    if (frame.t === 'synced') this.#synced = true;
    this.frames.push(frame);
    for (const wake of this.#woken.splice(0)) wake();
  }
}
