// One connection of the link, from its first request to the end of this process.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { sha256Text } from '../../protocol/keys.ts';
import { READY_TTL_S } from '../../protocol/limits.ts';
import { roleKeys } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { ack as ackSchema } from '../../protocol/session.ts';
import { type VerifiedToken, verifyToken } from '../../protocol/token.ts';
import { openOperation, type StoredReceipt, unacknowledged } from '../core/ledger.ts';
import { reasonOf } from '../core/trouble.ts';
import type { Journal } from '../ports/journal.ts';
import { accept, verifyCommand } from './accept.ts';
import { receiveCancel } from './cancel.ts';
import type { Channel, Request } from './channel.ts';
import { refusalOf } from './conditions.ts';
import { mark } from './marks.ts';
import type { ExecutorParts } from './parts.ts';
import { answerPreflight } from './preflight.ts';
import { type Prepared, prepare } from './prepare.ts';
import { ledgerOf, Recorder, signReceipt } from './recorder.ts';
import { rehearse } from './rehearsal.ts';
import { carryOut } from './run.ts';

/** A link that was given a process and asks nothing of it is broken. */
const FIRST_REQUEST_MS = 10_000;

/** Serves the connection; returns when there is nothing left to do. Refusals are answers, defects are thrown. */
export async function serveConnection(parts: ExecutorParts, channel: Channel): Promise<void> {
  const request = await channel.next(AbortSignal.timeout(FIRST_REQUEST_MS));
  if (!request) return;
  try {
    switch (request.t) {
      case 'prepare':
        return await serveOperation(parts, channel, request);
      case 'resume':
        return await resume(parts, channel);
      case 'receipts':
        return await report(parts, channel);
      case 'ack':
        return await acknowledge(parts, channel, request.token);
      case 'cancel':
        await receiveCancel(parts, request.token);
        return;
      case 'root':
        channel.send({ t: 'root', version: (await parts.roots.add(request.document)).version });
        return;
      case 'preflight':
        channel.send({ t: 'preflight', token: await answerPreflight(parts, request) });
        return;
      case 'execute':
        // Nothing was prepared here, so no nonce of this process can be in the command.
        throw new Failure('NONCE_UNKNOWN');
    }
  } catch (error) {
    const { code, details } = refusalOf(error);
    parts.log.warn({ code, details, request: request.t }, 'request refused');
    channel.send({ t: 'refused', op: request.t === 'prepare' ? request.op : null, code });
  }
}

async function serveOperation(
  parts: ExecutorParts,
  channel: Channel,
  asked: Readonly<{ op: string; account: string | null }>,
): Promise<void> {
  const { prepared, token } = await prepare(parts, asked);
  channel.send({ t: 'ready', op: asked.op, token });
  await rehearse(parts, prepared, token).catch((error: unknown) => {
    // An expected failure will come again, and be answered, when it counts; a defect stops the process here as well.
    refusalOf(error);
  });
  const patience = AbortSignal.timeout(READY_TTL_S * 1000);
  const request = await channel.next(patience);
  if (request?.t !== 'execute') return;
  await execute(parts, channel, prepared, request);
}

async function execute(
  parts: ExecutorParts,
  channel: Channel,
  prepared: Prepared,
  { token, intent: carried }: Extract<Request, { t: 'execute' }>,
): Promise<void> {
  const { op } = prepared;
  const tell = (receipt: StoredReceipt) => channel.send({ t: 'receipt', token: receipt.token });
  mark('command_received');
  const { bootId: boot } = await parts.environment.observe();
  let recorder: Recorder | undefined;
  let verified: VerifiedToken | undefined;
  try {
    verified = await verifyCommand(parts, token);
    mark('verified');
    recorder = new Recorder(await openToWrite(parts), signatory(parts, boot));
    const holding = await accept(parts, recorder, prepared, { token: verified, carried });
    mark('accepted');
    for (const receipt of recorder.operation(op).receipts) tell(receipt);
    const listening = new AbortController();
    void listen(parts, channel, recorder, op, listening.signal);
    await carryOut({ parts, recorder, op, holding, boot }, tell);
    listening.abort();
  } catch (error) {
    const refusal = refusalOf(error);
    parts.log.warn({ op, code: refusal.code, details: refusal.details }, 'operation stopped');
    const cmdSha256 = verified?.payloadSha256 ?? (await sha256Text(token));
    await refuse(parts, channel, recorder, { prepared, refusal, cmdSha256, boot });
  } finally {
    await recorder?.close();
  }
}

/** Answers what comes while the operation runs: acknowledgements, and the same command once more. */
async function listen(
  parts: ExecutorParts,
  channel: Channel,
  recorder: Recorder,
  op: string,
  until: AbortSignal,
): Promise<void> {
  for (let request = await channel.next(until); request; request = await channel.next(until)) {
    try {
      if (request.t === 'ack') await recorder.append(await readAck(parts, request.token));
      if (
        request.t === 'execute' &&
        (await verifyCommand(parts, request.token)).payloadSha256 === recorder.operation(op).cmdSha256
      ) {
        for (const receipt of recorder.operation(op).receipts) channel.send({ t: 'receipt', token: receipt.token });
      }
    } catch (error) {
      parts.log.warn({ op, code: codeOf(error) ?? 'INTERNAL', request: request.t }, 'request refused while at work');
    }
  }
}

type Refused = Readonly<{ prepared: Prepared; refusal: Failure; cmdSha256: string; boot: string }>;

/**
 * The nonce is spent and the refusal is signed. An operation that the ledger knows keeps its own state: its refusal is an
 * unsigned word to the link. A journal that cannot be written is no reason to keep silent.
 */
async function refuse(
  parts: ExecutorParts,
  channel: Channel,
  open: Recorder | undefined,
  { prepared, refusal, cmdSha256, boot }: Refused,
): Promise<void> {
  const { op, cn } = prepared;
  const { code } = refusal;
  const statement = { state: 'REFUSED', code, detail: reasonOf(refusal.details), warnings: [], cmdSha256, cn } as const;
  let recorder = open;
  try {
    recorder ??= new Recorder(await openToWrite(parts), signatory(parts, boot));
    if (recorder.ledger.has(op)) return channel.send({ t: 'refused', op, code });
    const receipt = await recorder.sign(op, statement);
    await recorder.append({ kind: 'refused', op, code, cmdSha256, receipt });
    channel.send({ t: 'receipt', token: receipt.token });
  } catch (error) {
    const why = refusalOf(error).code;
    parts.log.error({ op, code: why }, 'the refusal could not be journaled');
    // A writer that broke may have left a line behind, be it the acceptance: nothing is signed that could contradict it.
    if (recorder && why === 'JOURNAL_UNSAFE') return channel.send({ t: 'refused', op, code });
    const receipt = await signReceipt(signatory(parts, boot), op, [], statement);
    channel.send({ t: 'receipt', token: receipt.token });
  } finally {
    if (recorder !== open) await recorder?.close();
  }
}

/** A line that was being written when the machine stopped was told to nobody: it is dropped, and the log says so. */
async function openMended({ openJournal, log }: ExecutorParts): Promise<Journal> {
  const journal = await openJournal('write');
  if (journal.torn) log.warn({ head: journal.head() }, 'the last line of the journal was torn, and is dropped');
  return journal;
}

/** How soon the link is told of what a process that outlived its own link has written down. */
const FOLLOW_MS = 250;

/** The journal, as soon as no other process is at work; until then its receipts are told. `null`: the link did not wait. */
async function takeOver(parts: ExecutorParts, channel: Channel): Promise<Journal | null> {
  const told = new Set<string>();
  for (;;) {
    try {
      return await openMended(parts);
    } catch (error) {
      if (codeOf(error) !== 'BUSY') throw error;
    }
    const journal = await parts.openJournal('read');
    for (const { token } of unacknowledged(ledgerOf(journal))) {
      if (!told.has(token)) channel.send({ t: 'receipt', token });
      told.add(token);
    }
    await journal.close();
    if (channel.ended) return null;
    await parts.clock.sleep(FOLLOW_MS);
  }
}

/** Carries on what an earlier process, or an earlier boot, left behind. */
async function resume(parts: ExecutorParts, channel: Channel): Promise<void> {
  const { bootId: boot } = await parts.environment.observe();
  const journal = await takeOver(parts, channel);
  if (!journal) return;
  const recorder = new Recorder(journal, signatory(parts, boot));
  try {
    const open = openOperation(recorder.ledger);
    if (!open) return;
    const listening = new AbortController();
    void listen(parts, channel, recorder, open.op, listening.signal);
    await carryOut({ parts, recorder, op: open.op, holding: null, boot }, (receipt) =>
      channel.send({ t: 'receipt', token: receipt.token }),
    );
    listening.abort();
  } finally {
    await recorder.close();
  }
}

/** What the link needs at a new connection: the journal's head, what is under way, and every receipt not yet acknowledged. */
async function report(parts: ExecutorParts, channel: Channel): Promise<void> {
  const journal = await parts.openJournal('read');
  const ledger = ledgerOf(journal);
  const root = (await parts.roots.newest()).version;
  channel.send({ t: 'state', head: journal.head(), open: openOperation(ledger)?.op ?? null, root });
  for (const { token } of unacknowledged(ledger)) channel.send({ t: 'receipt', token });
  await journal.close();
}

/** Records acknowledgements, the first and those that follow on the same connection. */
async function acknowledge(parts: ExecutorParts, channel: Channel, first: string): Promise<void> {
  const journal = await openToWrite(parts);
  const recorder = new Recorder(journal, signatory(parts, (await parts.environment.observe()).bootId));
  try {
    await recorder.append(await readAck(parts, first));
    for (let request = await channel.next(); request?.t === 'ack'; request = await channel.next()) {
      await recorder.append(await readAck(parts, request.token));
    }
  } finally {
    await recorder.close();
  }
}

async function readAck(parts: ExecutorParts, token: string) {
  const { payload } = await verifyToken(token, 'lk-ack+jws', roleKeys(await parts.roots.newest(), 'session', null));
  const { agent, op, n } = parseSchema(ackSchema, payload);
  if (agent !== parts.identity.agent) throw new Failure('AUD_MISMATCH');
  return { kind: 'acked', op, n } as const;
}

const signatory = ({ identity, clock }: ExecutorParts, boot: string) => ({
  agent: identity.agent,
  ek: identity.ek,
  boot,
  clock,
});

/** An executor that only notes an acknowledgement holds the journal for a moment: that is not another operation. */
const WRITER_PATIENCE_MS = 5_000;
const WRITER_RETRY_MS = 50;

async function openToWrite(parts: ExecutorParts): Promise<Journal> {
  const { clock } = parts;
  const untilMs = clock.monotonicMs() + WRITER_PATIENCE_MS;
  for (;;) {
    try {
      return await openMended(parts);
    } catch (error) {
      if (codeOf(error) !== 'BUSY' || clock.monotonicMs() >= untilMs) throw error;
      await clock.sleep(WRITER_RETRY_MS);
    }
  }
}
