// The agent's two configuration files. Both are read whole and checked strictly; what is not understood is an error with the
// field's name, never a default.

import { readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { Failure } from '../protocol/failure.ts';
import { openRoot, type RootPayload } from '../protocol/root.ts';
import { accountName, parseSchema, vncServerId } from '../protocol/schema.ts';
import { parseTrust, type TrustFile } from '../protocol/trust.ts';
import { paths } from './paths.ts';

/** Twice what a link has ever been seen to need; its unit ends it at 192. */
export const MEMORY_MAX_MB = 128;

const agentFile = z.strictObject({
  v: z.literal(1),
  /** The default administrator, where it is not the one account with uid 0. */
  administrator: z.optional(accountName),
  vnc: z.optional(z.strictObject({ server: z.optional(vncServerId) })),
  /** Root file systems that are normal on this image beside the usual ones. */
  rootfs: z.optional(z.array(z.string().check(z.regex(/^[a-z0-9._-]{1,32}$/)))),
  /** Permits `ws:` without TLS to a loopback address. */
  plain_ws_loopback: z.optional(z.boolean()),
  /** What the resident process may hold, in MiB, before it starts anew between two operations. */
  memory_max_mb: z.optional(z.int().check(z.gte(64), z.lte(4096))),
});

export type AgentConfig = Readonly<{
  administrator: string | null;
  vncServer: string | null;
  rootfs: readonly string[];
  plainWsLoopback: boolean;
  memoryMaxMb: number;
}>;

/** What an empty agent.json means. */
export const DEFAULT_CONFIG: AgentConfig = {
  administrator: null,
  vncServer: null,
  rootfs: [],
  plainWsLoopback: false,
  memoryMaxMb: MEMORY_MAX_MB,
};

export async function readConfig(path: string = paths.config): Promise<AgentConfig> {
  const value = await readJson(path, 'CONFIG_INVALID', { v: 1 });
  const file = checked('CONFIG_INVALID', path, () => parseSchema(agentFile, value));
  return {
    administrator: file.administrator ?? DEFAULT_CONFIG.administrator,
    vncServer: file.vnc?.server ?? DEFAULT_CONFIG.vncServer,
    rootfs: file.rootfs ?? DEFAULT_CONFIG.rootfs,
    plainWsLoopback: file.plain_ws_loopback ?? DEFAULT_CONFIG.plainWsLoopback,
    memoryMaxMb: file.memory_max_mb ?? DEFAULT_CONFIG.memoryMaxMb,
  };
}

/** The trust file and its verified root. Without either there is no action at all. */
export async function readTrust(path: string = paths.trust): Promise<{ trust: TrustFile; root: RootPayload }> {
  const value = await readJson(path, 'TRUST_INVALID');
  const trust = checked('TRUST_INVALID', path, () => parseTrust(value));
  return { trust, root: await openRoot(trust.root) };
}

/** The addresses of a trust file, each of which must be TLS but for loopback with consent. */
export function controlPlaneUrls({ url, ca_pem }: TrustFile, { plainWsLoopback }: AgentConfig): URL[] {
  return url.map((text) => {
    const address = new URL(text);
    if (address.protocol === 'wss:') {
      if (ca_pem === '') throw new Failure('TRUST_INVALID', { field: 'ca_pem', reason: 'missing' });
      return address;
    }
    const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(address.hostname);
    if (!loopback || !plainWsLoopback) throw new Failure('TRUST_INVALID', { field: 'url', reason: 'plain_ws' });
    return address;
  });
}

async function readJson(
  path: string,
  code: 'CONFIG_INVALID' | 'TRUST_INVALID',
  whenMissing?: unknown,
): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const { code: reason = 'unreadable' } = cause as NodeJS.ErrnoException;
    if (reason === 'ENOENT' && whenMissing !== undefined) return whenMissing;
    throw new Failure(code, { path, reason }, cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure(code, { path, reason: 'syntax' }, cause);
  }
}

function checked<T>(code: 'CONFIG_INVALID' | 'TRUST_INVALID', path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof Failure) throw new Failure(code, { path, ...cause.details }, cause);
    throw cause;
  }
}
