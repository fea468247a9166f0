// The signer's alarms, brought into the history that operators watch. The signer keeps them in its audit, so none is lost while
// this program or that one is away; the newest one here says where to go on.

import type { Logger } from 'pino';
import { codeOf } from '../../protocol/failure.ts';
import type { SignerClient } from '../signer/client.ts';
import { appendEvent, newestOfType } from '../store/events.ts';
import { findOperation } from '../store/operations.ts';
import type { Store } from '../store/store.ts';

const TYPE = 'operator.alarm';
const INTERVAL_MS = 5_000;

type AlarmParts = Readonly<{ store: Store; signer: SignerClient; log: Logger }>;

/** Looks now and then, until the returned function is called. */
export function relayAlarms(parts: AlarmParts): () => void {
  let running = false;
  const look = async () => {
    if (running) return;
    running = true;
    // A signer that is away is somebody else's alarm; its own wait for it to come back.
    await bringAlarms(parts).catch((error: unknown) => {
      parts.log.debug({ code: codeOf(error) ?? 'INTERNAL' }, 'alarms not read');
    });
    running = false;
  };
  const timer = setInterval(() => void look(), INTERVAL_MS);
  void look();
  return () => clearInterval(timer);
}

export async function bringAlarms({ store, signer }: AlarmParts): Promise<void> {
  const newest = await newestOfType(store.db, TYPE);
  const after = Number(newest?.data['n'] ?? 0);
  const { alarms } = await signer('alarms', { after });
  if (alarms.length === 0) return;
  await store.write(async (trx) => {
    // Two looks at once would see the same: what is there by now is not brought again.
    const known = Number((await newestOfType(trx, TYPE))?.data['n'] ?? 0);
    for (const { n, at, kind, op, operator } of alarms) {
      if (n <= known) continue;
      const project = op === null ? undefined : (await findOperation(trx, op))?.project;
      const data = { n, alarm: kind, operator, op };
      await appendEvent(trx, { at: at * 1000, vm: null, op: null, type: TYPE, data, project });
    }
  });
}
