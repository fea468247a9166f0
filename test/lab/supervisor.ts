// The process behind `lab up`: it owns one guest until it is told to take it down, and answers on a socket in the guest's
// folder. When it dies, however it dies, the guest dies with it. It must never serve more than one guest.
import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { guestFolder } from './ground.ts';
import { createGuest, type Guest } from './guest.ts';
import type { GuestState } from './power.ts';
import { LabUnavailable } from './requirements.ts';

export type Status = { name: string; state: GuestState; boots: number; pid: number | undefined; native: string };
export type Request = 'status' | 'down';

/** What the supervisor tells the command that started it. */
export type Opening = { ok: true } | { ok: false; code: string; message: string };

const REQUEST_MS_MAX = 30_000;

function controlPath(name: string): string {
  return join(guestFolder(name), 'control');
}

async function describe(guest: Guest): Promise<Status> {
  const pid = guest.state === 'running' ? await guest.pid() : undefined;
  return { name: guest.name, state: guest.state, boots: guest.boots, pid, native: guest.native };
}

async function answer(guest: Guest, request: string, socket: Socket): Promise<void> {
  const status = await describe(guest);
  if (request === 'down') await guest.destroy();
  socket.end(`${JSON.stringify(status)}\n`, () => request === 'down' && process.exit(0));
}

/** Asks the supervisor of a guest; undefined when there is none. */
export async function askSupervisor(name: string, request: Request): Promise<Status | undefined> {
  const socket = connect(controlPath(name));
  socket.setTimeout(REQUEST_MS_MAX, () => socket.destroy(new Error(`the supervisor of ${name} does not answer`)));
  try {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  } catch {
    return undefined;
  }
  socket.write(`${request}\n`);
  const reply = await text(socket);
  return reply ? JSON.parse(reply) : undefined;
}

async function listen(guest: Guest): Promise<void> {
  const path = controlPath(guest.name);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    createInterface({ input: socket }).once('line', (line) => void answer(guest, line, socket));
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
}

async function supervise(name: string, vnc: boolean): Promise<void> {
  const guest = createGuest({ name, vnc });
  const down = () => void guest.destroy().finally(() => process.exit(0));
  process.once('SIGTERM', down).once('SIGINT', down);
  try {
    await guest.boot();
    await listen(guest);
  } catch (error) {
    await guest.destroy();
    throw error;
  }
}

function tell(opening: Opening): void {
  process.send?.(opening, () => process.disconnect?.());
}

if (import.meta.main) {
  const [name = '', display] = process.argv.slice(2);
  supervise(name, display !== 'no-vnc').then(
    () => tell({ ok: true }),
    (error: Error) => {
      const code = error instanceof LabUnavailable ? error.code : 'LAB_FAILED';
      tell({ ok: false, code, message: error.message });
      process.exitCode = 1;
    },
  );
}
