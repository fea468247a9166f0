// A signer on its own sockets over a temporary folder, with a clock that the test moves, and whoever asks it: the control plane
// and the host.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TOTP, Secret as TotpSecret } from 'otpauth';
import { pino } from 'pino';
import { openInstallation } from '../../../control-plane/config/installation.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { TrustChain } from '../../../control-plane/config/trust-chain.ts';
import { folderSigner } from '../../../control-plane/signer/adapters/signer-file.ts';
import { adminClient, signerClient } from '../../../control-plane/signer/client.ts';
import { CommandAuthority, type CommandKey } from '../../../control-plane/signer/command-authority.ts';
import { SignerLedger } from '../../../control-plane/signer/ledger.ts';
import type { Letter, Mailer } from '../../../control-plane/signer/mailer.ts';
import type { Proof, Seen } from '../../../control-plane/signer/requests.ts';
import { serveSigner } from '../../../control-plane/signer/server.ts';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import { READY_TTL_S } from '../../../protocol/limits.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../../protocol/receipt.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { newId } from '../../../protocol/schema.ts';
import type { Ready } from '../../../protocol/session.ts';
import { payloadOf, signToken } from '../../../protocol/token.ts';
import { SoftwarePasskey } from '../../protocol/software-passkey.ts';

export const kernel = (count: number) => Uint8Array.from(randomBytes(count));
export const AGENT = newId('agt', kernel);
export const PLACE = { origin: 'https://console.example', rpId: 'console.example' };

export type Built = Readonly<{ op: string; intent: string; intent_hash: string; methods: readonly string[] }>;

/** An executor's word that it waits for the command of that operation. */
export async function signedReady(op: string, by: SigningKey, change: Partial<Ready> = {}): Promise<string> {
  const seal = await sealingKeyFromSeed(kernel(32));
  const ready: Ready = {
    v: 1,
    op,
    agent: AGENT,
    cn: toBase64url(kernel(32)),
    seal: seal.jwk,
    ttl: READY_TTL_S,
    boot: crypto.randomUUID(),
    account: null,
    account_code: null,
    vnc: [],
    warnings: [],
    ...change,
  };
  return signToken('lk-ready+jws', ready, by);
}

/** What the machine says of a command, first in its chain unless told otherwise. */
export function signedReceipt(said: Partial<Receipt> & Pick<Receipt, 'op' | 'cn' | 'cmd_sha256'>, by: SigningKey) {
  const payload: Receipt = {
    v: 1,
    agent: AGENT,
    n: 1,
    prev: RECEIPT_GENESIS,
    state: 'ACCEPTED',
    code: null,
    warnings: [],
    boot: crypto.randomUUID(),
    mono: 1,
    detail: {},
    ...said,
  };
  return signToken('lk-receipt+jws', payload, by);
}
export const hashOf = (token: string) => sha256Text(canonicalBytes(payloadOf(token)));

/** That machine, as the control plane says that it enrolled. */
export async function enrolled(ek: SigningKey, agent = AGENT): Promise<Extract<Seen, { t: 'machine' }>> {
  const ik = await signingKeyFromSeed(kernel(32));
  return { t: 'machine', agent, vm: newId('vm', kernel), project: 'default', ik: ik.jwk, ek: ek.jwk };
}

/** Whose key lies in the signer's folder. */
export async function commandAuthority(data: string): Promise<CommandAuthority> {
  const paths = pathsIn(data);
  return CommandAuthority.open(await TrustChain.open(paths), [folderSigner(paths.signerFolder)]);
}

/** The code of a refusal, or `null` where there was none. */
export const refusal = async (asked: Promise<unknown>): Promise<string | null> =>
  asked.then(
    () => null,
    (error: unknown) => codeOf(error) ?? String(error),
  );

export class Desk {
  readonly data = mkdtempSync(join(tmpdir(), 'latchkey-desk-'));
  readonly ek: SigningKey;
  readonly letters: Letter[] = [];
  readonly logged: string[] = [];
  nowMs = Date.now();
  origin: string | null = PLACE.origin;
  /** Put in the root's place, where a test says so. */
  root: RootPayload | undefined;
  /** So many signatures of the command key fail from now on. */
  unsigned = 0;
  mailer: Mailer | null = { send: async (letter) => void this.letters.push(letter) };
  #ledger: SignerLedger | undefined;
  #close: (() => Promise<void>) | undefined;

  private constructor(ek: SigningKey) {
    this.ek = ek;
  }

  static async open(): Promise<Desk> {
    const desk = new Desk(await signingKeyFromSeed(kernel(32)));
    await openInstallation(pathsIn(desk.data), { randomBytes: kernel, nowMs: () => desk.nowMs });
    await desk.start();
    await desk.ask('audit.take', { items: [await enrolled(desk.ek)] });
    return desk;
  }

  async start(): Promise<void> {
    const paths = pathsIn(this.data);
    const ledger = SignerLedger.open(paths.signerDatabase);
    const authority = await commandAuthority(this.data);
    const log = pino({ level: 'trace' }, { write: (line: string) => void this.logged.push(line) });
    const parts = {
      ledger,
      authority: {
        chain: authority.chain,
        held: () => authority.held(),
        current: async () => {
          const { root, key } = await authority.current();
          return { root: this.root ?? root, key: { kid: key.kid, sign: this.#signer(key.sign) } };
        },
      },
      randomBytes: kernel,
      nowS: () => Math.floor(this.nowMs / 1000),
      mailer: { send: (letter: Letter) => (this.mailer as Mailer).send(letter) },
      origin: () => this.origin,
      log,
    };
    const sockets = { signer: paths.signerSocket, admin: paths.adminSocket };
    const server = await serveSigner({ ...parts, ...(this.mailer ? {} : { mailer: null }) }, sockets, log);
    this.#ledger = ledger;
    this.#close = async () => {
      await server.close();
      ledger.close();
    };
  }

  #signer(sign: CommandKey['sign']): CommandKey['sign'] {
    return (purpose, bytes) => {
      if (this.unsigned === 0) return sign(purpose, bytes);
      this.unsigned -= 1;
      throw new Failure('KEY_UNAVAILABLE', { reason: 'exit' });
    };
  }

  async stop(): Promise<void> {
    await this.#close?.();
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true });
  }

  get ledger(): SignerLedger {
    return this.#ledger as SignerLedger;
  }

  get ask() {
    return signerClient(pathsIn(this.data).signerSocket);
  }

  get admin() {
    return adminClient(pathsIn(this.data).adminSocket);
  }

  audit(kind: string): Record<string, unknown>[] {
    const rows = this.ledger.auditRows().filter((row) => row.kind === kind);
    return rows.map(({ operator, op, data }) => ({ operator, op, ...JSON.parse(data) }));
  }

  async build(operator = 'ada', op = newId('op', kernel)): Promise<Built> {
    const { jwk } = await sealingKeyFromSeed(kernel(32));
    const account = { name: 'ops', uid: 0, unlock: false, secret: { mode: 'generated' as const, recipient_jwk: jwk } };
    const asked = { op, project: 'default', agent: AGENT, operator, account, grace_s: 0, valid_s: 86_400 };
    return { op, ...(await this.ask('intent.build', asked)) };
  }

  prove({ op, intent_hash }: Pick<Built, 'op' | 'intent_hash'>, proof: Proof, operator = 'ada') {
    return this.ask('intent.prove', { op, intent_hash, operator, proof });
  }

  /** An authenticator of that operator: its code at a time. */
  async totp(operator = 'ada'): Promise<(ms?: number) => Proof> {
    const { totp_uri } = await this.admin('operator.add', { name: operator });
    const secret = TotpSecret.fromBase32(new URL(totp_uri ?? '').searchParams.get('secret') ?? '');
    return (ms = this.nowMs) => ({ method: 'totp', code: new TOTP({ secret }).generate({ timestamp: ms }) });
  }

  async key(operator = 'ada'): Promise<(hash: string) => Promise<Proof>> {
    const key = await signingKeyFromSeed(kernel(32));
    await this.admin('operator.add', { name: operator, key: key.jwk });
    return async (hash) => {
      const sig = await crypto.subtle.sign('Ed25519', key.privateKey, Uint8Array.from(fromBase64url(hash)));
      return { method: 'key', kid: key.kid, sig: toBase64url(new Uint8Array(sig)) };
    };
  }

  async passkey(operator = 'ada'): Promise<SoftwarePasskey> {
    const { passkey_invitation: invitation } = await this.admin('operator.add', { name: operator, passkey: true });
    const passkey = new SoftwarePasskey(PLACE);
    const asked = { operator, invitation: invitation ?? '' };
    const { options } = await this.ask('passkey.options', asked);
    const response = passkey.register(String(options['challenge']));
    await this.ask('passkey.register', { ...asked, response });
    return passkey;
  }

  /** The code in the newest letter. */
  mailed(): Proof {
    const code = /^ {4}([0-9]{8})$/m.exec(this.letters.at(-1)?.text ?? '')?.[1];
    return { method: 'email', code: code ?? 'no letter' };
  }

  mail({ op, intent_hash }: Built, operator = 'ada') {
    return this.ask('factor.email', { op, intent_hash, operator, vm_name: 'web-1' });
  }

  /** An intent that names these machines. */
  async buildList(targets: string[], operator = 'ada', op = newId('op', kernel)): Promise<Built> {
    const { jwk } = await sealingKeyFromSeed(kernel(32));
    const account = {
      name: null,
      uid: null,
      unlock: false,
      secret: { mode: 'generated' as const, recipient_jwk: jwk },
    };
    const asked = { op, project: 'default', targets, operator, account, grace_s: 0, valid_s: 86_400 };
    return { op, ...(await this.ask('intent.build', asked)) };
  }

  /** For one machine of a list, whose executor says that it is ready. */
  async mintFor({ op, intent_hash }: Built, agent: string, ek: SigningKey, index?: number) {
    const ready = await signedReady(op, ek, { agent });
    const asked = { op, intent_hash, ready, sealed: null, previous: 'never_sent' as const };
    return this.ask('command.mint', { ...asked, ...(index === undefined ? {} : { index }) });
  }

  async mint({ op, intent_hash }: Built) {
    const token = await signedReady(op, this.ek);
    return this.ask('command.mint', {
      op,
      intent_hash,
      ready: token,
      sealed: null,
      previous: 'never_sent',
    });
  }
}
