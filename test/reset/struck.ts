// A guest whose executor can be killed at any line of its journal and around any of its effects, ordered about by an issuer;
// and what became of an operation, by the machine's own evidence.

import { randomBytes } from 'node:crypto';
import { readChain } from '../../agent/adapters/journal-chain.ts';
import { type SealingKey, sealingKeyFromSeed } from '../../protocol/keys.ts';
import { mayFollow } from '../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../protocol/receipt.ts';
import type { Slot } from '../../protocol/seal.ts';
import type { Ready } from '../../protocol/session.ts';
import { collected } from '../agent/executor/orders.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { PRODUCT_SERVICES } from '../lab/services.ts';
import { HANDED_OVER, STRIKES, type Strike } from '../lab/strike.ts';
import { opens, shadowField } from './scene.ts';

const HOME = '/usr/lib/latchkey-agent';
const ACCOUNT = 'bob';
const JOURNAL = '/var/lib/latchkey-agent/executor/journal.jsonl';
/** How soon a reboot that did not come is asked for again, in seconds. */
const PATIENCE_S = 2;

const services = PRODUCT_SERVICES.map((service) =>
  service.name === 'executor'
    ? {
        ...service,
        argv: [
          `${HOME}/node_modules/.bin/node`,
          '--import',
          `${HOME}/test/lab/strike.ts`,
          `${HOME}/agent/main.ts`,
          'executor',
          '--reboot-patience',
          String(PATIENCE_S),
        ],
      }
    : service,
);

/** What an operation came to. `changed`: by the entry or the file itself, compared with what it was before. */
export type Outcome = Readonly<{
  op: string;
  end: string;
  receipts: readonly Receipt[];
  changed: boolean;
  /** The generated secret that the operator opens from the receipts is the one in force. */
  collected: boolean;
  /** How often a secret was handed to the effect. */
  effects: number;
  reboots: number;
  /** Strikes of the plan that never came. */
  left: number;
}>;

export class StruckGuest {
  readonly issuer: Issuer;
  readonly guest: Guest;
  readonly operator: SealingKey;

  private constructor(issuer: Issuer, guest: Guest, operator: SealingKey) {
    this.issuer = issuer;
    this.guest = guest;
    this.operator = operator;
  }

  static async boot(name: string, { vnc = false } = {}): Promise<StruckGuest> {
    const issuer = await Issuer.start();
    const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
    const guest = await createAttachedGuest(attachment, { name: `${name}-${process.pid}`, vnc, services });
    await guest.boot();
    await issuer.frame('synced');
    return new StruckGuest(issuer, guest, await sealingKeyFromSeed(Uint8Array.from(randomBytes(32))));
  }

  async destroy(): Promise<void> {
    await this.guest.destroy();
    await this.issuer.stop();
  }

  /** Makes ready for one operation of that secret and lets `meanwhile` happen before the command is sent. */
  async order(slot: Slot, meanwhile?: () => Promise<unknown>): Promise<Ready> {
    const ready = await this.issuer.prepare(slot === 'account' ? ACCOUNT : null);
    await meanwhile?.();
    const secret = { mode: 'generated', recipient_jwk: this.operator.jwk };
    const wish =
      slot === 'account'
        ? { account: { name: ACCOUNT, uid: null, secret, unlock: false } }
        : { vnc: { server: null, secret, restart: false } };
    await this.issuer.command(ready, this.issuer.intent(ready, wish));
    return ready;
  }

  /** One operation, with its executors killed as planned; `end` is "nothing" where none was ever accepted. */
  async play(slot: Slot, strikes: readonly Strike[], accepted = true): Promise<Outcome> {
    const before = await this.evidence(slot);
    const { reboots } = this.guest;
    await this.guest.writeFile(HANDED_OVER, '');
    const { op } = await this.order(slot, () => this.guest.writeFile(STRIKES, JSON.stringify(strikes)));
    if (accepted) await this.issuer.end(op);
    else await this.untilStruck();
    return { ...(await this.outcome(slot, op, before)), reboots: this.guest.reboots - reboots };
  }

  /** The first strike has come. */
  async untilStruck(): Promise<void> {
    while ((await this.strikesLeft()) > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async strikesLeft(): Promise<number> {
    return (JSON.parse((await this.guest.readFile(STRIKES)).toString()) as unknown[]).length;
  }

  /** The field or file that decides. */
  async evidence(slot: Slot): Promise<string> {
    if (slot === 'account') return shadowField(this.guest, ACCOUNT);
    return (await this.guest.readFile('/home/ada/.vnc/passwd')).toString('hex');
  }

  /** What the receipts say, after their chain was checked, and what the machine says. */
  async outcome(slot: Slot, op: string, before: string): Promise<Outcome> {
    const receipts = await this.issuer.receipts(op);
    assertChain(receipts);
    const last = receipts.at(-1);
    const changed = (await this.evidence(slot)) !== before;
    const secret = await collected(receipts, slot, this.operator);
    const handed = new Set((await this.guest.readFile(HANDED_OVER)).toString().split('\n').filter(Boolean));
    return {
      op,
      end: last ? `${last.state} ${last.code}` : 'nothing',
      receipts,
      changed,
      collected: slot === 'account' ? await opens(this.guest, ACCOUNT, secret ?? '') : secret !== undefined,
      effects: handed.size,
      reboots: 0,
      left: await this.strikesLeft(),
    };
  }

  /** What the agent remembers of an operation: its torn last line is nothing. */
  async remembered(op: string): Promise<boolean> {
    const { stdout } = await this.guest.exec(['cat', JOURNAL]);
    const { records } = readChain(Buffer.from(stdout));
    return records.some((record) => record['op'] === op);
  }
}

function assertChain(receipts: readonly Receipt[]): void {
  for (const [i, { n, state, prev }] of receipts.entries()) {
    const earlier = receipts[i - 1];
    if (n !== i + 1) throw new Error(`receipt ${n} stands in place ${i + 1}`);
    if (!earlier && prev !== RECEIPT_GENESIS) throw new Error('the chain begins with something else');
    if (earlier && !mayFollow(earlier.state, state)) throw new Error(`${state} after ${earlier.state}`);
  }
}
