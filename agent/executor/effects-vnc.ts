// The VNC step, in the form of all steps: announce it durably, act, look at what came of it, make the outcome durable with
// its receipt; and its proof in another boot. A server is restarted only where the operator agreed to it.

import { Failure } from '../../protocol/failure.ts';
import { VNC_AFTER_BOOT_MS_MAX, VNC_RESTART_MS_MAX, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { filesChanged, sourcesUnchanged } from '../core/evidence.ts';
import type { Operation, StoredReceipt } from '../core/ledger.ts';
import type { Trouble } from '../core/trouble.ts';
import type { Clock } from '../ports/clock.ts';
import type { VncServer, VncVerdict } from '../ports/vnc.ts';
import { type Bench, type End, end, verifiedSoFar } from './bench.ts';
import { tryTo } from './conditions.ts';
import type { ExecutorParts } from './parts.ts';
import { type Asked, BOTH, judge, proveNow, say, type VncProof, verdictOf, wantsRestart } from './vnc-proof.ts';

/** How long tries pause that wait for a server to come: a refused connection costs nothing, a failed login would. */
const RETRY_MS = 1_000;

/** Sets the VNC server's credential and proves it by handshakes, where the server runs. */
export async function setVnc({ parts, recorder, op, holding }: Bench): Promise<StoredReceipt | End> {
  const { vnc } = parts;
  const { work } = recorder.operation(op);
  const secret = holding?.secrets.get('vnc');
  const server = work?.vnc?.server;
  if (!server || !secret) throw new Failure('INTERNAL', { reason: 'no_vnc_secret' });
  const files = await tryTo(() => vnc.files(server));
  if ('code' in files) {
    parts.log.warn({ op, code: files.code, details: files.details }, 'the VNC credential cannot be read');
    return end(work?.account ? 'PARTIAL' : 'FAILED', 'VNC_FAILED', wordFor(files));
  }
  await recorder.append({ kind: 'begin', op, effect: 'vnc', before: files.value });
  const before = await verdictOf(() => vnc.probeStored(server));
  const set = await tryTo(() => vnc.setPassword(server, secret));
  if ('code' in set) {
    parts.log.warn({ op, code: set.code, details: set.details }, 'the VNC credential was not changed');
    const after = await tryTo(() => vnc.files(server));
    const touched = work?.account || 'code' in after || filesChanged(files.value, after.value);
    return end(touched ? 'PARTIAL' : 'FAILED', 'VNC_FAILED', wordFor(set));
  }
  const { files: vncFiles, previous } = set.value;
  const asked = { vnc, server, fresh: secret, previous, before };
  const proof = await prove(parts, op, asked, work?.vnc?.restart ?? false);
  previous?.wipe();
  const verified = { ...verifiedSoFar(recorder.operation(op)), vnc: proof.state === 'verified' };
  const { state: vncState, reason } = proof;
  const takesBoth = reason === BOTH ? ({ vncTakesBoth: true } as const) : {};
  return recorder.state(
    op,
    {
      state: 'VNC_SET',
      code: null,
      detail: { vnc: server.id, verified, vnc_state: vncState, ...effectiveOf(server), ...(reason ? { reason } : {}) },
    },
    { vncFiles, verified, vncState, ...takesBoth, warnings: wantsRestart(proof) ? ['VNC_RESTART_REQUIRED'] : [] },
  );
}

/** Said in receipts where not all of a password counts. */
export function effectiveOf({ effective }: Pick<VncServer, 'effective'>): { effective?: number } {
  return effective === VNCAUTH_BYTES ? { effective } : {};
}

async function prove(parts: ExecutorParts, op: string, asked: Asked, mayRestart: boolean): Promise<VncProof> {
  const { server } = asked;
  const proof = await proveNow(asked);
  parts.log.info({ op, server: server.id, before: asked.before, ...proof }, 'VNC handshakes');
  if (!mayRestart || !wantsRestart(proof)) return proof;
  const restarted = await tryTo(() => parts.vnc.restart(server));
  parts.log.info({ op, server: server.id, restarted }, 'restart of the VNC server');
  if ('code' in restarted) return { state: 'unverifiable', ...wordFor(restarted) };
  if (restarted.value === 'unmanaged') return proof;
  const now = await untilAnswer(parts.clock, VNC_RESTART_MS_MAX, () => say(asked, asked.fresh));
  const after = await judge(asked, now);
  parts.log.info({ op, server: server.id, ...after }, 'VNC handshakes after the restart');
  return after;
}

/** Asks until there is a yes or a no, for so long at most. */
async function untilAnswer(clock: Clock, timeoutMs: number, ask: () => Promise<VncVerdict>): Promise<VncVerdict> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer.verdict !== 'unknown' || clock.monotonicMs() >= deadlineMs) return answer;
    await clock.sleep(RETRY_MS);
  }
}

/** After the boot: the files are as they were written, and the server takes the secret that is in them. */
export async function proveVncAfterBoot({ vnc, clock, log }: ExecutorParts, operation: Operation): Promise<VncProof> {
  const { op, work, finding } = operation;
  const server = work?.vnc?.server;
  if (!server) return { state: 'unverifiable', reason: 'not_running' };
  const files = await tryTo(() => vnc.files(server));
  if ('code' in files) return { state: 'unverifiable', ...wordFor(files) };
  if (!sourcesUnchanged(finding.vncFiles ?? [], files.value)) return { state: 'unverifiable', reason: 'file_changed' };
  const answer = await untilAnswer(clock, VNC_AFTER_BOOT_MS_MAX, () => verdictOf(() => vnc.probeStored(server)));
  log.info({ op, server: server.id, ...answer }, 'VNC handshake after the boot');
  if (answer.verdict !== 'accepted') return { state: 'unverifiable', reason: answer.reason };
  // A server that took the old secret beside the new one would take this one whatever it is.
  return finding.vncTakesBoth ? { state: 'old_accepted', reason: BOTH } : { state: 'verified' };
}

/** Where the end's code is a wider one, the narrower code is the reason unless a better word is there. */
function wordFor({ code, details }: Trouble): { reason: string } {
  return { reason: typeof details.reason === 'string' ? details.reason : code };
}
