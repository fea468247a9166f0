// A machine's services by the contract of the port: which process is which service's, and a restart that gives another one.

import type { Services } from '../../../agent/ports/services.ts';
import { Failure } from '../../../protocol/failure.ts';

export function servicesFake(processes: Map<number, string>): Services {
  let last = 1_000;
  return {
    serviceOf: async (pid) => processes.get(pid) ?? null,
    async restart(service) {
      const before = [...processes].find(([, name]) => name === service);
      if (!before) throw new Failure('VNC_FAILED', { reason: 'restart_failed' });
      processes.delete(before[0]);
      last += 1;
      processes.set(last, service);
    },
  };
}
