// Puts together what is seen of a control plane: begun before anything happens, so that nothing is missed, and shown on its
// listener. Programs over one database each show the whole of it.

import type { Logger } from 'pino';
import type { Code } from '../../protocol/codes.ts';
import type { SignerClient } from '../signer/client.ts';
import { allOnlineVms } from '../store/gateways.ts';
import { census, handoverCount, openOperationCounts, uncollectedCount } from '../store/standing.ts';
import type { Store } from '../store/store.ts';
import { HistoryReader } from './history.ts';
import { type ListenPlace, openListener } from './listener.ts';
import { Metrics, type Standing } from './metrics.ts';
import { Readying } from './readiness.ts';

type Parts = Readonly<{ store: Store; signer: SignerClient }>;

export class Observer {
  /** To be asked in place of the one that was given. */
  readonly signer: SignerClient;
  readonly #parts: Parts;
  readonly #metrics: Metrics;
  readonly #history: HistoryReader;

  private constructor(parts: Parts, metrics: Metrics, history: HistoryReader) {
    this.#parts = parts;
    this.#metrics = metrics;
    this.#history = history;
    this.signer = metrics.watching(parts.signer);
  }

  static async open(parts: Parts): Promise<Observer> {
    const metrics = new Metrics();
    return new Observer(parts, metrics, await HistoryReader.open(parts.store, (event) => metrics.countEvent(event)));
  }

  countRefusedHandshake(code: Code): void {
    this.#metrics.countRefusedHandshake(code);
  }

  /** Listens; answers what ends that. */
  async show(place: ListenPlace, log: Logger): Promise<() => Promise<void>> {
    const readiness = new Readying(this.#parts);
    const { url, close } = await openListener(place, {
      scrape: async () => {
        await this.#history.catchUp();
        const text = await this.#metrics.text(await this.#standing());
        return { contentType: this.#metrics.contentType, text };
      },
      readiness: () => readiness.look(),
      log,
    });
    log.info({ url }, 'metrics, health and readiness');
    return close;
  }

  async #standing(): Promise<Standing> {
    const { db, writesWaiting } = this.#parts.store;
    const [machines, online] = [await census(db), await allOnlineVms(db)];
    return {
      agents: machines.map(({ vm, version, quarantined }) => ({
        state: quarantined ? 'quarantined' : online.has(vm) ? 'online' : 'offline',
        version,
      })),
      openOperations: await openOperationCounts(db),
      queues: {
        audit_handover: await handoverCount(db),
        secrets_uncollected: await uncollectedCount(db),
        store_writes: writesWaiting,
      },
    };
  }
}
