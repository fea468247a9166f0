// Whether this control plane can do its work now: the database answers and has the schema that this program knows, and the signer
// answers. It changes nothing.

import type { Code } from '../../protocol/codes.ts';
import { codeOf } from '../../protocol/failure.ts';
import type { SignerClient } from '../signer/client.ts';
import { SCHEMA_VERSION } from '../store/migrations.ts';
import type { Store } from '../store/store.ts';

/** Asked more often than this, the last answer is given again: whoever asks needs no key. */
const FRESH_MS = 1_000;

type Check = 'ok' | Code | 'outdated';
export type Readiness = Readonly<{ ready: boolean; checks: Readonly<Record<'database' | 'schema' | 'signer', Check>> }>;
type Parts = Readonly<{ store: Pick<Store, 'schemaVersion'>; signer: SignerClient }>;

export class Readying {
  readonly #parts: Parts;
  #answer: Promise<Readiness> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  look(): Promise<Readiness> {
    this.#answer ??= this.#look().finally(() => {
      setTimeout(() => {
        this.#answer = undefined;
      }, FRESH_MS).unref();
    });
    return this.#answer;
  }

  async #look(): Promise<Readiness> {
    const { store, signer } = this.#parts;
    const [version, signerSays] = await Promise.all([
      store.schemaVersion().catch(failureIn),
      // Reads, and finds nothing: there is no such row.
      signer('alarms', { after: Number.MAX_SAFE_INTEGER }).then(() => 'ok' as const, failureIn),
    ]);
    const database: Check = typeof version === 'number' ? 'ok' : version;
    const schema: Check =
      typeof version !== 'number' ? version : version === SCHEMA_VERSION ? 'ok' : schemaWord(version);
    const checks = { database, schema, signer: signerSays };
    return { ready: Object.values(checks).every((check) => check === 'ok'), checks };
  }
}

const failureIn = (error: unknown): Code => codeOf(error) ?? 'INTERNAL';
const schemaWord = (version: number): Check => (version > SCHEMA_VERSION ? 'DATABASE_NEWER' : 'outdated');
