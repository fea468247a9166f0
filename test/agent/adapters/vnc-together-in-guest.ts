// VNC servers of every kind in one lab guest at the same time, and what must hold then. Never runs outside a guest.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { procAt } from '../../../agent/adapters/proc.ts';
import { servicesSystemd } from '../../../agent/adapters/services-systemd.ts';
import { vncServers } from '../../../agent/adapters/vnc-servers.ts';
import { obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule } from '../contracts/contract.ts';

const ADA = 1000;
const AS_ADA = ['--reuid', '1000', '--regid', '1000', '--clear-groups', '--reset-env'];
const FOLDER = '/home/ada/several';

const servers: Readonly<Record<string, readonly string[]>> = {
  'tigervnc:5903': ['Xtigervnc', ':3', '-localhost=1', '-SecurityTypes', 'VncAuth', '-rfbauth', `${FOLDER}/5903`],
  'tightvnc:5904': ['Xtightvnc', ':4', '-localhost', '-rfbport', '5904', '-rfbauth', `${FOLDER}/5904`],
  'x11vnc:5905': [
    'x11vnc',
    '-display',
    ':3',
    '-localhost',
    '-forever',
    '-rfbport',
    '5905',
    '-rfbauth',
    `${FOLDER}/5905`,
  ],
  'x11vnc:5906': ['x11vnc', '-display', ':3', '-forever', '-rfbport', '5906', '-passwdfile', `read:${FOLDER}/5906`],
};
const ids = Object.keys(servers);

async function start(): Promise<
  Readonly<{ passwords: ReadonlyMap<string, Secret>; children: readonly ChildProcess[] }>
> {
  mkdirSync(FOLDER, { mode: 0o700 });
  chownSync(FOLDER, ADA, ADA);
  const passwords = new Map<string, Secret>();
  const children: ChildProcess[] = [];
  for (const [id, argv] of Object.entries(servers)) {
    const [program = '', port = ''] = [argv[0], id.split(':')[1]];
    const password = drawSecret();
    passwords.set(id, password);
    writePassword(
      `${FOLDER}/${port}`,
      argv.includes('-passwdfile') ? password.reveal() : obfuscate(password.revealBytes()),
    );
    children.push(spawn('setpriv', [...AS_ADA, ...argv], { cwd: '/home/ada', stdio: 'ignore' }));
    while (!listens(program, Number(port))) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { passwords, children };
}

function writePassword(path: string, content: string | Uint8Array): void {
  writeFileSync(path, content, { mode: 0o600 });
  chownSync(path, ADA, ADA);
  // x11vnc takes a file for unchanged whose time differs by less than a second.
  const anHourAgoS = Date.now() / 1000 - 3_600;
  utimesSync(path, anHourAgoS, anHourAgoS);
}

function listens(program: string, port: number): boolean {
  const proc = procAt();
  return proc.running([program]).some(({ pid }) => proc.listeners(pid).some((listener) => listener.port === port));
}

/** One rule, for its servers are started once and changed one after another. */
export const togetherRules: readonly Rule<null>[] = [
  {
    title: 'of several servers each is found by its own name, and the one that is named is changed alone',
    async run() {
      const { passwords, children } = await start();
      const vnc = vncServers({ macKey: randomBytes(32), services: servicesSystemd() });
      const found = await vnc.list();
      deepEqual(found.map(({ id }) => id).sort(), [...ids].sort());
      for (const server of found) {
        const old = passwords.get(server.id);
        ok(old);
        const others = found.filter(({ id }) => id !== server.id);
        const before = await Promise.all(others.map((other) => vnc.files(other)));
        const fresh = drawSecret();
        await vnc.setPassword(server, fresh);
        equal((await vnc.probe(server, fresh)).verdict, 'accepted');
        equal((await vnc.probe(server, old)).verdict, 'rejected');
        // The last answer is a success, which clears what the wrong one counted.
        equal((await vnc.probeStored(server)).verdict, 'accepted');
        deepEqual(await Promise.all(others.map((other) => vnc.files(other))), before);
        for (const other of others) equal((await vnc.probeStored(other)).verdict, 'accepted');
      }
      for (const child of children) child.kill('SIGKILL');
    },
  },
];
