// Where the control plane listens and for whom: one listener for everybody, or one for operators and one for agents, each with how many
// connections it takes and whose word about a client's address it believes.

import { isIP } from 'node:net';
import { Failure } from '../../protocol/failure.ts';
import { Proxies } from '../listener/address.ts';
import type { ConnectionLimits } from '../listener/guard.ts';

export type ListenPlace = Readonly<{ host: string; port: number }>;

export type ListenerFlags = Readonly<{
  agentListen?: string;
  trustedProxy?: string;
  agentProxy?: string;
  connectionsMax?: string;
  connectionsPerAddressMax?: string;
  agentConnectionsMax?: string;
  agentConnectionsPerAddressMax?: string;
}>;

export type ListenerOptions = Readonly<{
  /** Where agents connect, if that is a listener of their own; `null`: where operators do. */
  agentListen: ListenPlace | null;
  /** Proxies of operators, which say in a header who their client is. */
  trustedProxies: readonly string[];
  /** Proxies of the agents' own listener, which pass TLS on and say it in a line before. */
  agentProxies: readonly string[];
  connections: Readonly<{ operators: ConnectionLimits; agents: ConnectionLimits }>;
}>;

/** Operators are few, and a browser has six connections. Of agents a whole site may be behind one address. */
const CONNECTIONS_DEFAULT = {
  operators: { total: 2_000, perAddress: 256 },
  agents: { total: 100_000, perAddress: 20_000 },
} as const;

/** Throws `CONFIG_INVALID` naming the option. */
export function readListenerOptions(flags: ListenerFlags, env: NodeJS.ProcessEnv): ListenerOptions {
  const agentListen = flags.agentListen ?? env['LATCHKEY_AGENT_LISTEN'];
  const { operators, agents } = CONNECTIONS_DEFAULT;
  return {
    agentListen: agentListen === undefined ? null : parseListen(agentListen, 'agent-listen'),
    trustedProxies: addresses(flags.trustedProxy ?? env['LATCHKEY_TRUSTED_PROXY'], 'trusted-proxy'),
    agentProxies: addresses(flags.agentProxy ?? env['LATCHKEY_AGENT_PROXY'], 'agent-proxy'),
    connections: {
      operators: {
        total: count(flags.connectionsMax ?? env['LATCHKEY_CONNECTIONS_MAX'], 'connections-max', operators.total),
        perAddress: count(
          flags.connectionsPerAddressMax ?? env['LATCHKEY_CONNECTIONS_PER_ADDRESS_MAX'],
          'connections-per-address-max',
          operators.perAddress,
        ),
      },
      agents: {
        total: count(
          flags.agentConnectionsMax ?? env['LATCHKEY_AGENT_CONNECTIONS_MAX'],
          'agent-connections-max',
          agents.total,
        ),
        perAddress: count(
          flags.agentConnectionsPerAddressMax ?? env['LATCHKEY_AGENT_CONNECTIONS_PER_ADDRESS_MAX'],
          'agent-connections-per-address-max',
          agents.perAddress,
        ),
      },
    },
  };
}

export function parseListen(text: string, field: string): ListenPlace {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (!match || port > 65_535 || (match[1] !== undefined && isIP(host) !== 6)) {
    throw new Failure('CONFIG_INVALID', { field, reason: 'host:port' });
  }
  return { host, port };
}

function addresses(text: string | undefined, field: string): readonly string[] {
  if (text === undefined || text === '') return [];
  const places = text.split(',').map((place) => place.trim());
  try {
    new Proxies(places);
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { field, reason: 'addresses' }, cause);
  }
  return places;
}

function count(text: string | undefined, field: string, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw new Failure('CONFIG_INVALID', { field, reason: 'number' });
  return Number(text);
}
