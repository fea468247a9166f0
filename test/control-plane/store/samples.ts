// Machines for tests of the store: each option that a test sets is one that it is about.

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

export async function withVm(store: Store, vm: Vm = vmOf()): Promise<Vm> {
  await store.write((trx) => insertVm(trx, vm));
  return vm;
}
