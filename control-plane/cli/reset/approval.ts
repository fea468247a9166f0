// From a confirmed draft to an intent that may be proven: secrets, and the comparison with what was asked. A typed password is
// sealed here and leaves this process in no other form.

import { Failure } from '../../../protocol/failure.ts';
import type { SecretSource } from '../../../protocol/intent.ts';
import { sha256Text } from '../../../protocol/keys.ts';
import { VNCAUTH_BYTES } from '../../../protocol/limits.ts';
import { assertPassword, passwordFault, vncAuthFault } from '../../../protocol/password.ts';
import { type Slot, sealSecret } from '../../../protocol/seal.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { Ready } from '../../../protocol/session.ts';
import type { IntentRequest, OperationView } from '../../api/schemas.ts';
import type { Client } from '../client/client.ts';
import { createRecipient } from '../client/recipients.ts';
import { type Asked, checkIntent } from './intent-check.ts';
import { proveAndSubmit } from './proof.ts';
import { type Addressee, readReady } from './readiness.ts';
import { isGenerated, isTyped, type ResetObserver, type ResetRequest } from './request.ts';

type SecretInput = NonNullable<IntentRequest['account']>['secret'];
type Prepared = Readonly<{ input: SecretInput; source: SecretSource }>;
type Slots = Partial<Record<Slot, Prepared>>;

export type Draft = Readonly<{
  request: ResetRequest;
  operation: OperationView;
  addressee: Addressee;
  /** The executor's word as it was shown before the confirmation. */
  shown: Ready | null;
  project: string;
  operator: string;
}>;

/** The approved operation. Throws `AUTHZ_INVALID`, `READY_EXPIRED`, `PASSWORD_POLICY`, and what the server refuses. */
export async function approve(client: Client, draft: Draft, observer: ResetObserver): Promise<OperationView> {
  const { request, addressee } = draft;
  const typed = isTyped(request) ? await askTyped(client, draft, observer) : {};
  // Asking may have taken minutes: seal to the key of the executor that waits now.
  const ready = await readReady(await client.api.operation(addressee.op), addressee);
  const slots = await prepareSlots(client, draft, { ready, typed });
  const response = await client.api.intent(addressee.op, {
    ...(slots.account ? { account: { secret: slots.account.input } } : {}),
    ...(slots.vnc ? { vnc: { secret: slots.vnc.input } } : {}),
    ...(request.validS === undefined ? {} : { valid_s: request.validS }),
  });
  const asked: Asked = {
    ...addressee,
    project: draft.project,
    operator: draft.operator,
    request,
    // The executor may have come while the intent was written.
    ready: ready ?? (await readReady(await client.api.operation(addressee.op), addressee)),
    shown: draft.shown,
    ...(slots.account ? { account: slots.account.source } : {}),
    ...(slots.vnc ? { vnc: slots.vnc.source } : {}),
    nowS: Math.floor(client.now().getTime() / 1_000),
  };
  const checked = await checkIntent(response, asked);
  const { operation } = draft;
  observer.onEvent({ event: 'intent', operation, intentHash: checked.hash, notAfterS: checked.notAfterS });
  const { methods } = response;
  const proven = { operation, operator: draft.operator, op: addressee.op };
  const approved = await proveAndSubmit(client, proven, { observer, checked, methods });
  observer.onEvent({ event: approved.awaits_second ? 'proven' : 'approved', operation: approved });
  return approved;
}

async function askTyped(client: Client, draft: Draft, observer: ResetObserver): Promise<Partial<Record<Slot, Secret>>> {
  const { request, addressee } = draft;
  const ready = await demandReady(await readReady(await client.api.operation(addressee.op), addressee));
  const typed: Partial<Record<Slot, Secret>> = {};
  if (request.account?.mode === 'typed') {
    const name = ready.account?.name;
    typed.account = await askSlot('account', observer, (secret) =>
      passwordFault(secret, name === undefined ? {} : { accountName: name }),
    );
  }
  if (request.vnc?.mode === 'typed') {
    const truncating = isTruncating(ready, request);
    typed.vnc = await askSlot('vnc', observer, truncating ? vncAuthFault : passwordFault);
    if (typed.account && begins(typed.account, truncating) === begins(typed.vnc, truncating)) {
      throw new Failure('VNC_SHARES_ACCOUNT_PASSWORD', { slot: 'vnc' });
    }
  }
  return typed;
}

async function askSlot(
  slot: Slot,
  observer: ResetObserver,
  fault: (secret: Secret) => ReturnType<typeof passwordFault>,
): Promise<Secret> {
  const secret = await observer.typedSecret(slot, fault);
  assertPassword(fault(secret), slot);
  return secret;
}

/** Whether the server in question reads the first 8 bytes alone; of several unnamed ones, whether any does. */
function isTruncating(ready: Ready, { vnc }: ResetRequest): boolean {
  const named = vnc?.server ?? null;
  return ready.vnc.some(({ server, kind }) => kind === 'vncauth' && (named === null || server === named));
}

const begins = (secret: Secret, truncating: boolean): string =>
  truncating ? secret.reveal().slice(0, VNCAUTH_BYTES) : secret.reveal();

async function prepareSlots(
  client: Client,
  { request, addressee }: Draft,
  { ready, typed }: { ready: Ready | null; typed: Partial<Record<Slot, Secret>> },
): Promise<Slots> {
  const { op, agent } = addressee;
  const from = { randomBytes: client.randomBytes, now: client.now() };
  const recipient = isGenerated(request)
    ? (await createRecipient(client.stateFolder, { op, agent }, from)).key.jwk
    : undefined;
  const slots: Slots = {};
  for (const slot of ['account', 'vnc'] as const) {
    if (!request[slot]) continue;
    const secret = typed[slot];
    if (secret) {
      const { seal } = demandReady(ready);
      const sealed = await sealSecret(secret, { op, agent, dir: 'to-agent', slot }, seal, client.randomBytes);
      secret.wipe();
      const source = { mode: 'typed', sealed_sha256: await sha256Text(sealed) } as const;
      slots[slot] = { input: { mode: 'typed', sealed }, source };
    } else if (recipient) {
      const generated = { mode: 'generated', recipient_jwk: recipient } as const;
      slots[slot] = { input: generated, source: generated };
    }
  }
  return slots;
}

function demandReady(ready: Ready | null): Ready {
  if (!ready) throw new Failure('READY_EXPIRED');
  return ready;
}
