// Hears what other programs ring over PostgreSQL's NOTIFY: one connection that only listens. While it is away, and when it
// is back, everybody looks for themselves, so nothing is missed; it is late at most.

import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Heard } from './bell.ts';
import type { PostgresPlace } from './engine.ts';
import { CHANNEL, connectionOf } from './postgres-connection.ts';

const AGAIN_MS = 1_000;
/** A connection whose other end vanished says nothing of it: it is asked. */
const PROBE_INTERVAL_MS = 10_000;
const PROBE_MS_MAX = 5_000;

export class PostgresListener {
  readonly #place: PostgresPlace;
  readonly #heard: Heard;
  readonly #stop = new AbortController();
  #client: pg.Client | undefined;
  #running: Promise<void> | undefined;

  constructor(place: PostgresPlace, heard: Heard) {
    this.#place = place;
    this.#heard = heard;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#client?.end();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#listen().catch(() => undefined);
      if (signal.aborted) return;
      this.#heard(null);
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Returns or throws when the connection has ended. */
  async #listen(): Promise<void> {
    const client = new pg.Client({ ...connectionOf(this.#place), query_timeout: PROBE_MS_MAX });
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('error', () => undefined);
    client.on('notification', ({ payload = '' }) => this.#heard(payload));
    await client.connect();
    this.#client = client;
    const probe = setInterval(() => {
      client.query('SELECT 1').catch(() => client.end().catch(() => undefined));
    }, PROBE_INTERVAL_MS);
    try {
      await client.query(`LISTEN ${CHANNEL}`);
      // What was rung before this moment nobody heard.
      this.#heard(null);
      if (this.#stop.signal.aborted) await client.end();
      await ended;
    } finally {
      clearInterval(probe);
      this.#client = undefined;
      await client.end().catch(() => undefined);
    }
  }
}
