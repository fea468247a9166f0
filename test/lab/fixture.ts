// What the lab's own tests share: a guest that is gone when its test ends, and small ways to ask it things. It must
// never hold a rule; those are in the tests.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, type TestContext } from 'vitest';
import { unavailable } from '../requirements.ts';
import { createGuest, type Guest, type GuestOptions } from './guest.ts';
import { checkTreeRequirements } from './requirements.ts';
import type { Service } from './services.ts';

export const SLEEPER: Service = { name: 'link', user: 'latchkey-agent', policy: 'always', argv: ['sleep', 'infinity'] };
export const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export function canRead(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Enough to see a change; never the content. */
export function digest(path: string): string {
  return canRead(path) ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'unreadable';
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** What a shell command of the guest prints; it must succeed and complain of nothing. */
export async function output(guest: Guest, script: string, user = 'root'): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-c', script], { user });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trim();
}

export type Wishes = Partial<GuestOptions> & { files?: Readonly<Record<string, string>> };

/** A guest without VNC and with a sleeping link, unless wished otherwise; its files are there before its first boot. */
export async function bootGuest(name: string, { files = {}, ...options }: Wishes = {}): Promise<Guest> {
  const guest = createGuest({ services: [SLEEPER], vnc: false, ...options, name: `test-${name}-${process.pid}` });
  onTestFinished(() => guest.destroy());
  for (const [path, content] of Object.entries(files)) await guest.writeFile(path, content);
  await guest.boot();
  return guest;
}

export function shell(name: string, policy: Service['policy'], script: string): Service {
  return { name, user: 'root', policy, argv: ['sh', script] };
}

/** Ends the test where this machine cannot run a guest with systemd. */
export function demandSystemd(context: Pick<TestContext, 'skip'>): void {
  const machine = checkTreeRequirements();
  if (!machine.ok) unavailable(context, 'a guest with systemd', machine.hint);
}

/** One guest for the tests of a file, made at its first use; the file calls `destroyAll` at its end. */
export function sharedGuest(make: () => Promise<Guest>): (context: Pick<TestContext, 'skip'>) => Promise<Guest> {
  let made: Promise<Guest> | undefined;
  return (context) => {
    demandSystemd(context);
    made ??= make();
    return made;
  };
}

/** A guest with systemd and without the product, booted. */
export async function bootSystemdGuest(name: string, options: Partial<GuestOptions> = {}): Promise<Guest> {
  const guest = createGuest({
    services: [],
    vnc: false,
    ...options,
    layout: 'systemd',
    name: `test-${name}-${process.pid}`,
  });
  await guest.boot();
  return guest;
}
