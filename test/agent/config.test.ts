// The two configuration files: read whole, strictly, and with nothing assumed about what is not understood.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { controlPlaneUrls, readConfig, readTrust } from '../../agent/config.ts';
import { signRoot } from '../../protocol/root.ts';
import { codeFrom } from '../protocol/refusal.ts';
import { keys, sampleRoot } from '../protocol/samples.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let written = 0;
async function file(content: unknown): Promise<string> {
  written += 1;
  const path = join(folder, `${written}.json`);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
const root = await signRoot(sampleRoot(), [keys.rootA, keys.rootB]);
const trust = { v: 1, url: ['wss://gateway.example:7000/agent'], ca_pem: 'PEM', root };
const nothing = { administrator: null, vncServer: null, rootfs: [], plainWsLoopback: false, memoryMaxMb: 128 };

describe('agent.json', () => {
  test('that is missing says nothing', async () => {
    expect(await readConfig(join(folder, 'absent.json'))).toEqual(nothing);
  });

  test('says what it says', async () => {
    const path = await file({
      v: 1,
      administrator: 'debian',
      vnc: { server: 'tigervnc:5901' },
      rootfs: ['overlay'],
      plain_ws_loopback: true,
      memory_max_mb: 96,
    });
    expect(await readConfig(path)).toEqual({
      administrator: 'debian',
      vncServer: 'tigervnc:5901',
      rootfs: ['overlay'],
      plainWsLoopback: true,
      memoryMaxMb: 96,
    });
  });

  test.each<[string, unknown]>([
    ['empty', ''],
    ['no JSON', '{'],
    ['an array', []],
    ['null', null],
    ['of another version', { v: 2 }],
    ['without a version', {}],
    ['with an unknown member', { v: 1, policy: 'off' }],
    ['with an unknown member of vnc', { v: 1, vnc: { port: 1 } }],
    ['with an administrator that is no account name', { v: 1, administrator: '-R' }],
    ['with a file system that is no name', { v: 1, rootfs: ['../x'] }],
    ['with a consent that is no truth value', { v: 1, plain_ws_loopback: 'yes' }],
    ['with less memory than a link needs', { v: 1, memory_max_mb: 63 }],
    ['with memory that is no whole number', { v: 1, memory_max_mb: '128' }],
  ])('%s is CONFIG_INVALID', async (_, content) => {
    expect(await codeFrom(async () => readConfig(await file(content)))).toBe('CONFIG_INVALID');
  });

  test('that cannot be read is CONFIG_INVALID, and not taken for a missing one', async () => {
    expect(await codeFrom(() => readConfig(folder))).toBe('CONFIG_INVALID');
  });
});

describe('trust.json', () => {
  test('gives its root once that has met its own threshold', async () => {
    expect((await readTrust(await file(trust))).root).toEqual(sampleRoot());
  });

  test.each<[string, unknown, string]>([
    ['empty', '', 'TRUST_INVALID'],
    ['cut off', JSON.stringify(trust).slice(0, -20), 'TRUST_INVALID'],
    ['without a root', { ...trust, root: undefined }, 'TRUST_INVALID'],
    ['with an unknown member', { ...trust, insecure: true }, 'TRUST_INVALID'],
    ['without an address', { ...trust, url: [] }, 'TRUST_INVALID'],
    ['with an http address', { ...trust, url: ['https://gateway.example'] }, 'TRUST_INVALID'],
    ['with a plain address', { ...trust, url: ['ws://gateway.example'] }, 'TRUST_INVALID'],
    ['with credentials in an address', { ...trust, url: ['wss://a:b@gateway.example'] }, 'TRUST_INVALID'],
    [
      'with a root signed by one of two',
      { ...trust, root: { ...root, signatures: root.signatures.slice(0, 1) } },
      'ROOT_THRESHOLD',
    ],
  ])('%s is refused', async (_, content, code) => {
    expect(await codeFrom(async () => readTrust(await file(content)))).toBe(code);
  });

  test('that is missing is TRUST_INVALID', async () => {
    expect(await codeFrom(() => readTrust(join(folder, 'absent.json')))).toBe('TRUST_INVALID');
  });

  test('with a root that was altered is refused', async () => {
    const payload = Buffer.from(JSON.stringify({ ...sampleRoot(), expires: sampleRoot().expires + 1 })).toString(
      'base64url',
    );
    expect(await codeFrom(async () => readTrust(await file({ ...trust, root: { ...root, payload } })))).toBe(
      'ROOT_THRESHOLD',
    );
  });
});

describe('addresses', () => {
  const config = (plainWsLoopback: boolean) => ({ ...nothing, plainWsLoopback });
  const urls = (url: string[], ca_pem: string, consent: boolean) =>
    controlPlaneUrls({ v: 1, url, ca_pem, root }, config(consent)).map(({ href }) => href);

  test('are TLS', () => expect(urls(trust.url, 'PEM', false)).toEqual(trust.url));
  test('are plain on loopback with consent alone', async () => {
    for (const host of ['127.0.0.1:7000', 'localhost:7000', '[::1]:7000']) {
      expect(urls([`ws://${host}/agent`], '', true)).toEqual([`ws://${host}/agent`]);
      expect(await codeFrom(() => urls([`ws://${host}/agent`], '', false))).toBe('TRUST_INVALID');
    }
  });
  test('are never plain elsewhere, whatever is consented to', async () => {
    for (const host of ['192.0.2.1', 'gateway.example', '127.0.0.1.example', 'localhost.example', '127.0.0.2']) {
      expect(await codeFrom(() => urls([`ws://${host}/agent`], '', true))).toBe('TRUST_INVALID');
    }
  });
  test('with TLS need the authority', async () => {
    expect(await codeFrom(() => urls(trust.url, '', true))).toBe('TRUST_INVALID');
  });
});
