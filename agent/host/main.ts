// Composition root of what every process of the agent needs of its system, chosen once: the machine, and randomness.

import { hostLinux } from '../adapters/host-linux.ts';
import { randomKernel } from '../adapters/random-kernel.ts';
import type { Here } from '../ports/host.ts';

export async function here(): Promise<Here> {
  if (process.platform === 'win32') return (await import('../windows/main.ts')).hereOnWindows();
  return { host: hostLinux(), random: randomKernel() };
}
