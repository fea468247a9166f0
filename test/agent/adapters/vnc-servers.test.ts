// Several kinds of VNC servers as one port.

import { describe, expect, it } from 'vitest';
import { joinVnc } from '../../../agent/adapters/vnc-servers.ts';
import type { Vnc, VncServer } from '../../../agent/ports/vnc.ts';
import { Failure } from '../../../protocol/failure.ts';
import { Secret } from '../../../protocol/secret.ts';

const record = (id: string): VncServer => ({
  id,
  kind: 'vncauth',
  effective: 8,
  port: 5901,
  owner: { uid: 1000, gid: 1000 },
  source: '/p',
});

/** Answers with its own name, so that it shows who was asked. */
function kindNamed(name: string, ids: readonly string[]): Vnc {
  const files = async () => [{ role: 'source', path: name, hash: '' } as const];
  const verdict = async () => ({ verdict: 'unknown', reason: name }) as const;
  const demandChangeable = async () => {
    throw new Failure('VNC_FAILED', { reason: name });
  };
  const list = async () => ids.map(record);
  const setPassword = async () => ({ files: await files(), previous: null });
  const restart = async () => (name === 'one' ? ('restarted' as const) : ('unmanaged' as const));
  return { list, files, demandChangeable, setPassword, restart, probe: verdict, probeStored: verdict };
}

const joined = joinVnc({ one: kindNamed('one', ['one:5901', 'one:5902']), two: kindNamed('two', ['two:5901']) });

describe('servers of several kinds', () => {
  it('are all listed', async () => {
    expect((await joined.list()).map(({ id }) => id)).toEqual(['one:5901', 'one:5902', 'two:5901']);
  });
  it.each(['one', 'two'])('are answered for by their own kind: %s', async (name) => {
    const server = record(`${name}:5901`);
    const secret = Secret.ofText('any');
    const files = [{ role: 'source', path: name, hash: '' }];
    expect(await joined.files(server)).toEqual(files);
    expect(await joined.setPassword(server, secret)).toEqual({ files, previous: null });
    expect(await joined.restart(server)).toBe(name === 'one' ? 'restarted' : 'unmanaged');
    await expect(joined.demandChangeable(server)).rejects.toMatchObject({ details: { reason: name } });
    expect((await joined.probe(server, secret)).reason).toBe(name);
    expect((await joined.probeStored(server)).reason).toBe(name);
  });
  it.each(['three:5901', 'constructor:5901', 'toString:1'])('are never those of an unknown kind: %s', async (id) => {
    await expect(joined.files(record(id))).rejects.toMatchObject({
      code: 'VNC_FAILED',
      details: { reason: 'unknown_kind' },
    });
  });
});
