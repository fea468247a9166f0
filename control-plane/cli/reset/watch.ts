// Follows one operation to its end. Events only say that there is something new; what it is, is always read from the
// operation itself, so a lost, repeated or unknown event cannot show anything untrue. Survives the control plane's restart.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Code, codes } from '../../../protocol/codes.ts';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import type { OperationView } from '../../api/schemas.ts';
import type { Api } from '../client/api.ts';

export type WatchListener = Readonly<{
  onProgress(operation: OperationView): void;
  onUnreachable(code: Code): void;
  onReachable(): void;
}>;

const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;

/**
 * Calls `onProgress` with each new sight of the operation until `isOver` says so or `signal` is aborted; returns the last
 * one. Throws what cannot heal by waiting, such as `UNAUTHENTICATED` or `NOT_FOUND`.
 */
export async function watchOperation(
  api: Api,
  op: string,
  { isOver, signal, listener }: { isOver(view: OperationView): boolean; signal?: AbortSignal; listener: WatchListener },
): Promise<OperationView | undefined> {
  let latest: OperationView | undefined;
  let lastEventId: string | null = null;
  let failures = 0;

  /** Reads the operation; whether it is over. */
  const look = async (): Promise<boolean> => {
    const view = await api.operation(op, signal);
    if (failures > 0) listener.onReachable();
    failures = 0;
    if (!latest || isNews(view, latest)) listener.onProgress(view);
    latest = view;
    return isOver(view);
  };

  while (!signal?.aborted) {
    try {
      if (await look()) return latest;
      for await (const event of api.operationEvents(op, lastEventId, signal)) {
        lastEventId = event.id ?? lastEventId;
        if (await look()) return latest;
      }
    } catch (error) {
      if (signal?.aborted) return latest;
      const code = codeOf(error);
      if (code === undefined || !canHeal(error)) throw error;
      if (failures === 0) listener.onUnreachable(code);
      failures += 1;
    }
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 10));
    await sleep(delayMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
  return latest;
}

/** That time passes is no news. */
function isNews(view: OperationView, before: OperationView): boolean {
  return JSON.stringify({ ...view, state_ms: 0 }) !== JSON.stringify({ ...before, state_ms: 0 });
}

function canHeal(error: unknown): boolean {
  return error instanceof Failure && codes[error.code].retry;
}
