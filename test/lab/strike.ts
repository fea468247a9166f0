// Preloaded into a guest's executor by tests alone (`node --import`): kills the process at the moment that a plan names, by
// SIGKILL, and notes each secret that was handed to an effect. The product knows nothing of it.

import childProcess from 'node:child_process';
import fs, { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isatty } from 'node:tty';

/** On the disk, so that a plan outlives a reboot. */
export const STRIKES = '/var/strikes.json';
/** One line for each time that a secret was handed over to be set; a VNC server's files count as one. */
export const HANDED_OVER = '/var/handed-over';

/**
 * `journal`: a line that holds the text is written. `open`: a path is opened. `program`: one is started, or was and ended.
 * `terminal`: the secret was typed for the nth time.
 */
export type Strike =
  | Readonly<{ at: 'journal'; text: string; when: 'before' | 'during' | 'after' }>
  | Readonly<{ at: 'program'; text: string; when: 'before' | 'after' }>
  | Readonly<{ at: 'open'; text: string; when: 'before' }>
  | Readonly<{ at: 'terminal'; text: string; when: 'after' }>;

function strikes(): readonly Strike[] {
  try {
    return JSON.parse(readFileSync(STRIKES, 'utf8')) as Strike[];
  } catch {
    return [];
  }
}

/** Dies if the first strike of the plan is this one; it is taken out of the plan before. */
function dieIf(at: Strike['at'], when: Strike['when'], fits: (text: string) => boolean): void {
  const [first, ...rest] = strikes();
  if (!first || first.at !== at || first.when !== when || !fits(first.text)) return;
  writeFileSync(`${STRIKES}.new`, JSON.stringify(rest));
  renameSync(`${STRIKES}.new`, STRIKES);
  process.kill(process.pid, 'SIGKILL');
}

type Handle = {
  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
};

/** The journal writes each line whole and syncs the file before anything else: between the two stands "during". */
async function watchJournal(): Promise<void> {
  const handle = await fs.promises.open('/dev/null', 'r');
  const prototype = Object.getPrototypeOf(handle) as Handle;
  await handle.close();
  const { write, sync } = prototype;
  const written = new WeakMap<object, string>();
  prototype.write = async function (this: Handle, buffer, offset, length, position) {
    const line = Buffer.from(buffer).toString('latin1');
    if (!line.startsWith('{"prev":')) return write.call(this, buffer, offset, length, position);
    const fits = (text: string) => line.includes(text);
    dieIf('journal', 'before', fits);
    if (strikes()[0]?.when === 'during' && fits(strikes()[0]?.text ?? '')) {
      await write.call(this, buffer, offset, Math.floor(length / 2), position);
      dieIf('journal', 'during', fits);
    }
    written.set(this, line);
    return write.call(this, buffer, offset, length, position);
  };
  prototype.sync = async function (this: Handle) {
    await sync.call(this);
    const line = written.get(this);
    if (line !== undefined) dieIf('journal', 'after', (text) => line.includes(text));
  };
}

function watchEffects(): void {
  const { writeSync } = fs;
  const { open } = fs.promises;
  const { spawn } = childProcess;
  let typed = 0;
  fs.writeSync = ((fd: number, ...rest: [Uint8Array]) => {
    const count = writeSync(fd, ...rest);
    if (!isatty(fd)) return count;
    typed += 1;
    // Asked for the password, then for the same once more.
    if (typed % 2 === 1) appendFileSync(HANDED_OVER, `account ${typed}\n`);
    dieIf('terminal', 'after', (text) => Number(text) === typed);
    return count;
  }) as typeof writeSync;
  fs.promises.open = (async (path: string, ...rest: [number, number]) => {
    dieIf('open', 'before', (text) => text === path);
    return open(path, ...rest);
  }) as typeof open;
  childProcess.spawn = ((program: string, args: readonly string[], options: never) => {
    const words = [program, ...args].join(' ');
    dieIf('program', 'before', (text) => words.includes(text));
    if (words.includes('write-as-owner')) appendFileSync(HANDED_OVER, `vnc ${process.pid}\n`);
    const child = spawn(program, args, options);
    child.prependListener('close', () => dieIf('program', 'after', (text) => words.includes(text)));
    return child;
  }) as typeof spawn;
  syncBuiltinESMExports();
}

if (process.argv.includes('executor')) {
  watchEffects();
  await watchJournal();
}
