// The machines of a load: as many as wanted, each with keys that follow from its number, so that the program that knows them and the one
// that plays them need not tell each other.

import { createHash } from 'node:crypto';
import { Store } from '../../control-plane/store/store.ts';
import { insertVm } from '../../control-plane/store/vms.ts';
import { type SigningKey, signingKeyFromSeed } from '../../protocol/keys.ts';
import { newId } from '../../protocol/schema.ts';

export type Keys = Readonly<{ ik: SigningKey; ek: SigningKey; agent: string; vm: string }>;

const bytesOf = (words: string) => Uint8Array.from(createHash('sha256').update(`bench ${words}`).digest());

export async function keysOf(number: number): Promise<Keys> {
  const [ik, ek] = await Promise.all([
    signingKeyFromSeed(bytesOf(`ik ${number}`)),
    signingKeyFromSeed(bytesOf(`ek ${number}`)),
  ]);
  const id = (kind: 'agt' | 'vm') => newId(kind, (count) => bytesOf(`${kind} ${number}`).subarray(0, count));
  return { ik, ek, agent: id('agt'), vm: id('vm') };
}

/** Of so many the audit is told: those that commands may be signed for. Of all of them it would take minutes. */
const AUDITED = 300;

/** As if they had enrolled. Nothing may have the database open. */
export async function enrolAll(file: string, count: number): Promise<void> {
  const store = await Store.open({ file });
  for (let from = 0; from < count; from += 500) {
    const keys = await Promise.all(Array.from({ length: Math.min(500, count - from) }, (_, at) => keysOf(from + at)));
    await store.write(async (trx) => {
      for (const [at, { ik, ek, agent, vm }] of keys.entries()) {
        await insertVm(trx, {
          ...{ id: vm, agent, name: `m${from + at}`, project: 'default', ik: ik.jwk, ikKid: ik.kid, ek: ek.jwk },
          ...{ machineSha256: ik.kid, enrolledAt: Date.now(), lastSeen: null, boot: null, facts: null },
          ...{ agentVersion: null, ctr: 0, jhead: null, flags: [], quarantine: null, labels: {}, joinToken: null },
          ...{ provision: null, removed: false },
        });
      }
    });
  }
  await store.write((trx) => trx.deleteFrom('handover').where('seq', '>', AUDITED).execute());
  await store.close();
}
