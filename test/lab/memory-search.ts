// Searches the memory of processes, given by pid, for a needle from standard input (proc(5), /proc/PID/mem). Prints the
// pids in which it was found. Runs on the runner or inside a guest; it never searches itself.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK = 1 << 20;
const needle = readFileSync(0);

function hasNeedle(pid: string): boolean {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from, to, flags] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      if (from === undefined || to === undefined || !flags?.startsWith('r') || line.includes('[vvar]')) continue;
      if (searchRange(memory, Number.parseInt(from, 16), Number.parseInt(to, 16))) return true;
    }
    return false;
  } finally {
    closeSync(memory);
  }
}

function searchRange(memory: number, from: number, to: number): boolean {
  const chunk = Buffer.alloc(CHUNK + needle.length);
  for (let at = from; at < to; at += CHUNK) {
    try {
      const length = Math.min(chunk.length, to - at);
      const read = readSync(memory, chunk, 0, length, at);
      if (chunk.subarray(0, read).includes(needle)) return true;
    } catch {
      // A page that cannot be read (a guard page, a device) holds nothing of ours.
    }
  }
  return false;
}

if (needle.length === 0) throw new Error('nothing to search for');
for (const pid of process.argv.slice(2)) if (hasNeedle(pid)) console.log(pid);
