// Which tests there are and how each kind is run. `tidy` reads the sources, `unit` needs nothing but Node, `lab` starts
// guests in namespaces: one file at a time, in processes of their own, with time enough to boot. `vm` starts whole machines
// under emulation, which takes minutes: `npm run test:vm` runs it, and `npm test` does not.

import { defineConfig } from 'vitest/config';

// The first guest with systemd builds its Debian tree.
const LAB_TIMEOUT_MS = 300_000;
/** An emulated machine takes half a minute to boot, on a quiet runner; the first one waits for its image. */
const VM_TIMEOUT_MS = 1_200_000;
const lab = ['test/lab/**/*.test.ts', 'test/**/*.lab.test.ts'];

export default defineConfig({
  test: {
    // The last one prints the last line.
    reporters: ['default', './test/reporter.ts'],
    // A run that finds nothing to run has failed (this is the default; it must stay so).
    passWithNoTests: false,
    projects: [
      { test: { name: 'tidy', include: ['test/{tidy,mutate}/**/*.test.ts'] } },
      {
        test: {
          name: 'unit',
          include: ['test/{protocol,agent,control-plane,simulation,fuzz}/**/*.test.ts'],
          exclude: lab,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // They wait for processes and sockets more than they compute.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'lab',
          include: lab,
          pool: 'forks',
          fileParallelism: false,
          testTimeout: LAB_TIMEOUT_MS,
          hookTimeout: LAB_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: 'vm',
          include: ['test/vm/**/*.vm.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: VM_TIMEOUT_MS,
          hookTimeout: VM_TIMEOUT_MS,
        },
      },
    ],
  },
});
