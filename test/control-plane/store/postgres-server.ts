// A PostgreSQL of the tests' own: made in a temporary folder, reachable through a socket there and through a free port of
// the loopback address, gone with `stop`. It refuses to run as root, so under root it runs as `nobody`.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { PostgresPlace } from '../../../control-plane/store/engine.ts';

const run = promisify(execFile);
const INSTALLED = '/usr/lib/postgresql';
const NOBODY = 65_534;
const START_MS_MAX = 30_000;

/** What would make it available, for `unavailable`. */
export const POSTGRES_COMMAND = 'apt-get install postgresql';

/** Whoever is called `guarded` has a password; anybody else on this machine is trusted. */
const ADMISSION = `host all guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
`;

const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** The programs of the newest version that is installed; `null` where none is. */
export function postgresPrograms(): string | null {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED).map(Number).filter(Number.isInteger) : [];
  const folder = join(INSTALLED, String(Math.max(0, ...versions)), 'bin');
  return existsSync(join(folder, 'initdb')) ? folder : null;
}

export class PostgresServer {
  readonly folder: string;
  readonly port: number;
  readonly #process: ChildProcess;
  #databases = 0;

  private constructor(folder: string, port: number, child: ChildProcess) {
    this.folder = folder;
    this.port = port;
    this.#process = child;
  }

  static async start(): Promise<PostgresServer> {
    const programs = postgresPrograms();
    if (programs === null) throw new Error(`no PostgreSQL: ${POSTGRES_COMMAND}`);
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-postgres-'));
    if (identity.uid !== undefined) chownSync(folder, identity.uid, identity.gid);
    const data = join(folder, 'data');
    const about = { ...identity, cwd: folder };
    const init = ['--no-sync', '--auth=trust', '--username=latchkey', '--encoding=UTF8', '--no-locale', '-D', data];
    await run(join(programs, 'initdb'), init, about);
    writeFileSync(join(data, 'pg_hba.conf'), ADMISSION);
    const port = await freePort();
    const settings = ['fsync=off', 'full_page_writes=off', `unix_socket_directories=${folder}`];
    const options = settings.flatMap((setting) => ['-c', setting]);
    const argv = ['-D', data, '-p', String(port), '-h', '127.0.0.1', ...options];
    const child = spawn(join(programs, 'postgres'), argv, { ...about, stdio: 'ignore' });
    const server = new PostgresServer(folder, port, child);
    await server.#ready();
    return server;
  }

  /** A new, empty database. */
  async database(): Promise<PostgresPlace> {
    this.#databases += 1;
    const name = `t${this.#databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return this.placeOf(name);
  }

  placeOf(database: string): PostgresPlace {
    const { port } = this;
    return { host: '127.0.0.1', port, user: 'latchkey', database, password: null, tls: null };
  }

  /** A connection of an administrator's, to be ended by the caller. */
  async connect(database: string): Promise<pg.Client> {
    const { host, port, user } = this.placeOf(database);
    const client = new pg.Client({ host, port, user, database });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** As an administrator. */
  async query(sql: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    const client = await this.connect(database);
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    // Without waiting for clients, and without a shutdown that would write what nobody reads again.
    this.#process.kill('SIGQUIT');
    if (this.#process.exitCode === null && this.#process.signalCode === null) await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    for (const until = performance.now() + START_MS_MAX; ; ) {
      try {
        await this.query('SELECT 1');
        return;
      } catch (error) {
        if (performance.now() > until || this.#process.exitCode !== null) {
          await this.stop();
          throw error;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
