// The loop: ask the core what is next, do it, make it durable, tell the link, ask again. It is the same loop for a fresh
// command, for an operation that another process left behind, and after the reboot.

import type { ReceiptDetail } from '../../protocol/receipt.ts';
import type { StoredReceipt } from '../core/ledger.ts';
import { nextStep, type Step } from '../core/steps.ts';
import { type Bench, end, verifiedSoFar } from './bench.ts';
import { cancelRequested } from './cancel.ts';
import { demandUnchanged, tryTo } from './conditions.ts';
import {
  generate,
  inspect,
  obstaclesAtEnd,
  proveBoot,
  proveSecrets,
  requestReboot,
  setAccount,
  wipe,
} from './effects.ts';
import { setVnc } from './effects-vnc.ts';

/** How often a waiting executor looks whether it was cancelled. */
const CANCEL_POLL_MS = 250;

/** Carries the operation on until it has ended or this process dies of the reboot. `tell` passes a receipt to the link. */
export async function carryOut(bench: Bench, tell: (receipt: StoredReceipt) => void): Promise<void> {
  const { parts, recorder, op, boot, holding } = bench;
  let rebootSwallowed = false;
  try {
    for (;;) {
      const cancelled = await cancelRequested(parts, recorder.operation(op));
      const step = nextStep(recorder.operation(op), {
        boot,
        holdsSecrets: holding !== null,
        cancelled,
        rebootSwallowed,
      });
      parts.log.debug({ op, step: step.do }, 'next step');
      if (step.do === 'nothing') return;
      if (step.do === 'await_reboot') {
        await parts.clock.sleep(parts.rebootPatienceMs);
        rebootSwallowed = true;
        continue;
      }
      rebootSwallowed = false;
      const outcome = await take(step, bench, tell);
      if (outcome === undefined) continue;
      if ('do' in outcome) tell(await finish(bench, outcome));
      else tell(outcome);
    }
  } finally {
    wipe(holding);
  }
}

type Outcome = StoredReceipt | (Extract<Step, { do: 'end' }> & { verified?: ReceiptDetail['verified'] }) | undefined;

async function take(step: Step, bench: Bench, tell: (receipt: StoredReceipt) => void): Promise<Outcome> {
  switch (step.do) {
    case 'wait':
      return wait(bench, step.graceS, tell);
    case 'generate':
      return generate(bench);
    case 'set_account':
      return setAccount(bench);
    case 'set_vnc':
      return setVnc(bench);
    case 'reboot':
      return requestReboot(bench, step.attempt, tell);
    case 'prove_boot':
      return proveBoot(bench);
    case 'prove_secrets':
      return proveSecrets(bench);
    case 'inspect':
      return inspect(bench);
    case 'end':
      return step;
    default:
      return undefined;
  }
}

/** The grace period: people are warned, nothing is changed, and a cancel ends it, or a machine that became another one. */
async function wait(
  { parts, recorder, op }: Bench,
  graceS: number,
  tell: (receipt: StoredReceipt) => void,
): Promise<Outcome> {
  tell(await recorder.state(op, { state: 'WAITING', code: null, detail: { grace_s: graceS } }, {}));
  await parts.power.warn(`The system restarts in ${graceS} seconds: its administrator's password is being reset.`);
  const untilMs = parts.clock.monotonicMs() + graceS * 1000;
  while (parts.clock.monotonicMs() < untilMs) {
    if (await cancelRequested(parts, recorder.operation(op))) return undefined;
    await parts.clock.sleep(Math.min(CANCEL_POLL_MS, untilMs - parts.clock.monotonicMs()));
  }
  const { work } = recorder.operation(op);
  const changed = work && (await tryTo(() => demandUnchanged(parts, work)));
  return changed && 'code' in changed ? end('FAILED', changed.code, changed.details) : undefined;
}

async function finish(
  bench: Bench,
  end: Extract<Step, { do: 'end' }> & { verified?: ReceiptDetail['verified'] },
): Promise<StoredReceipt> {
  const { recorder, op } = bench;
  const { state, code, verified, reason } = end;
  const warnings = await obstaclesAtEnd(bench, end);
  const operation = recorder.operation(op);
  const { account, vnc } = operation.work ?? {};
  const proven = verified ?? verifiedSoFar(operation);
  const vncState = end.vncState ?? operation.finding.vncState;
  const detail: ReceiptDetail = {
    ...(account ? { account: account.name } : {}),
    ...(vnc?.server ? { vnc: vnc.server.id } : {}),
    ...(operation.rebootAskedIn ? { boot_before: operation.rebootAskedIn } : {}),
    ...(operation.finding.bootAfter ? { boot_after: operation.finding.bootAfter } : {}),
    ...(reason === undefined ? {} : { reason }),
    verified: proven,
    ...(vncState ? { vnc_state: vncState } : {}),
  };
  const finding = { verified: proven, warnings, ...(vncState ? { vncState } : {}) };
  return recorder.state(op, { state, code, detail }, finding);
}
