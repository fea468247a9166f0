// Machines for tests of the store: each option that a test sets is one that it is about.

import type { Bulk } from '../../../control-plane/core/bulk.ts';
import type { Store } from '../../../control-plane/store/store.ts';
import { insertVm, type Vm } from '../../../control-plane/store/vms.ts';
import { draftOf, T0 } from '../core/samples.ts';

const jwk = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) } as const;

export function vmOf(change: Partial<Vm> = {}): Vm {
  const { vm, agent, project } = draftOf();
  return {
    id: vm,
    agent,
    name: 'web',
    project,
    ik: jwk,
    ikKid: 'A',
    ek: jwk,
    machineSha256: 'A',
    enrolledAt: T0,
    lastSeen: null,
    boot: null,
    facts: null,
    agentVersion: null,
    ctr: 0,
    jhead: null,
    flags: [],
    quarantine: null,
    labels: {},
    joinToken: null,
    provision: null,
    removed: false,
    ...change,
  };
}

/** The nth of several. */
export const nthVm = (n: number): Vm =>
  vmOf({ id: `vm_${n}`, agent: `agt_${n}`, name: `web-${n}`, ikKid: String(n), machineSha256: String(n) });

/** Of this machine alone, its proof not there. */
export function bulkOf(change: Partial<Bulk> = {}): Bulk {
  const { op, vm, agent, project, operator, draft } = draftOf();
  const none = { intent: null, provenAt: null, approvedAt: null, stopped: null, code: null };
  const targets = [{ vm, agent, name: 'web' }];
  return { op, project, operator, draft, targets, leftOut: [], concurrency: 1, ...none, createdAt: T0, ...change };
}

export async function withVm(store: Store, vm: Vm = vmOf()): Promise<Vm> {
  await store.write((trx) => insertVm(trx, vm));
  return vm;
}
