// What may be said about listeners, as options and in the environment: an option wins, and what is wrong is named.

import { describe, expect, test } from 'vitest';
import { logLevel, readServeOptions, type ServeFlags } from '../../../control-plane/config/options.ts';
import { Failure } from '../../../protocol/failure.ts';

const read = (flags: ServeFlags, env: Record<string, string> = {}) =>
  readServeOptions({ data: '/nowhere', ...flags }, env);

function refusalOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

describe('listeners', () => {
  test.each<[ServeFlags, string, string]>([
    [{ listen: '0.0.0.0:8420' }, 'listen', 'tls_needed'],
    [{ agentListen: '0.0.0.0:8421' }, 'agent-listen', 'tls_needed'],
    [{ agentListen: 'nowhere' }, 'agent-listen', 'host:port'],
    [{ agentProxy: 'proxy.example' }, 'agent-proxy', 'addresses'],
    [{ trustedProxy: '10.0.0.0/64' }, 'trusted-proxy', 'addresses'],
    [{ trustedProxy: '127.0.0.1,' }, 'trusted-proxy', 'addresses'],
    [{ connectionsMax: '0' }, 'connections-max', 'number'],
    [{ connectionsPerAddressMax: '-1' }, 'connections-per-address-max', 'number'],
    [{ agentConnectionsMax: 'many' }, 'agent-connections-max', 'number'],
    [{ agentConnectionsPerAddressMax: '1e3' }, 'agent-connections-per-address-max', 'number'],
  ])('%o are refused', (flags, field, reason) => {
    expect(refusalOf(() => read(flags))).toMatchObject({ code: 'CONFIG_INVALID', details: { field, reason } });
  });

  test('are as the environment says, unless an option says otherwise', () => {
    const env = {
      LATCHKEY_AGENT_LISTEN: '127.0.0.1:8421',
      LATCHKEY_AGENT_PROXY: '10.0.0.1, 10.0.1.0/24',
      LATCHKEY_TRUSTED_PROXY: '::1',
      LATCHKEY_CONNECTIONS_MAX: '7',
      LATCHKEY_CONNECTIONS_PER_ADDRESS_MAX: '3',
      LATCHKEY_AGENT_CONNECTIONS_MAX: '9',
      LATCHKEY_AGENT_CONNECTIONS_PER_ADDRESS_MAX: '8',
    };
    expect(read({ agentListen: '[::1]:8422' }, env).listeners).toEqual({
      agentListen: { host: '::1', port: 8_422 },
      trustedProxies: ['::1'],
      agentProxies: ['10.0.0.1', '10.0.1.0/24'],
      connections: { operators: { total: 7, perAddress: 3 }, agents: { total: 9, perAddress: 8 } },
    });
  });

  test('may be open to others where TLS is the installation’s own', () => {
    expect(read({ listen: '0.0.0.0:1' }, { LATCHKEY_TLS_SELF_SIGNED: 'yes' }).tlsSelfSigned).toBe(true);
    expect(refusalOf(() => read({}, { LATCHKEY_TLS_SELF_SIGNED: '1' }))).toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

test('a level of the log that there is not is refused, and not passed over', () => {
  expect(logLevel({ LATCHKEY_LOG_LEVEL: 'debug' })).toBe('debug');
  expect(refusalOf(() => read({}, { LATCHKEY_LOG_LEVEL: 'loud' }))).toMatchObject({
    code: 'CONFIG_INVALID',
    details: { field: 'LATCHKEY_LOG_LEVEL' },
  });
});
