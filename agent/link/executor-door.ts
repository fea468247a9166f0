// How the link gets to a fresh executor: by a socket behind which the service manager starts one, or by starting one itself,
// where both halves run as one user and there is nobody else who could. That needs no door that others could knock at.

import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { paths } from '../paths.ts';
import { PipePair } from '../pipes.ts';

/** `about`: what people are told of it. Every `open` is one executor process, from its start to its end. */
export type ExecutorDoor = Readonly<{ about: string; open(): Duplex }>;

/** `entry` is the command line's file; `env` what it is started with. */
export function executorDoor(entry: string, env: Readonly<Record<string, string>>): ExecutorDoor {
  return paths.socket === null ? childDoor([entry, 'executor', '--pipes'], env) : socketDoor(paths.socket);
}

export function socketDoor(path: string): ExecutorDoor {
  return { about: path, open: () => connect(path) };
}

/** Its log goes to the link's own; its life does not: it is not ended with the link, or half a change might be left behind. */
export function childDoor(args: readonly string[], env: Readonly<Record<string, string>>): ExecutorDoor {
  return {
    about: 'started by the link',
    open() {
      const child = spawn(process.execPath, args, {
        env,
        stdio: ['pipe', 'pipe', 'inherit'],
        // Where it is not, Windows ends it with its parent (libuv puts children into a job that dies with it).
        detached: true,
        windowsHide: true,
      });
      const pipes = new PipePair(child.stdout, child.stdin);
      child.once('error', () => pipes.destroy());
      // After its end, and after the last of what it said.
      child.once('close', () => pipes.destroy());
      return pipes;
    },
  };
}
