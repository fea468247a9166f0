// What may hold the command key: each adapter under the port's contract, and what each refuses of its own.

import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { laterKeyFile } from '../../../control-plane/config/authority.ts';
import { writeKey } from '../../../control-plane/config/key-file.ts';
import { credentialSigner, folderSigner } from '../../../control-plane/signer/adapters/signer-file.ts';
import { programSigner } from '../../../control-plane/signer/adapters/signer-program.ts';
import { type SigningKey, signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { unavailable } from '../../requirements.ts';
import { type Subject, signerContract } from './contracts/signer.ts';
import { kernel, refusal } from './desk.ts';

/** The program of these tests reads its sources each time, also on a machine that is busy with other tests. */
const PATIENCE_MS = 30_000;
const HURRY_MS = 10_000;
const folders: string[] = [];
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-keys-'));
  folders.push(path);
  return path;
}

/** A key in that file. */
async function keyIn(path: string): Promise<SigningKey> {
  const seed = kernel(32);
  writeKey(path, seed);
  return signingKeyFromSeed(seed);
}

async function keyInFolder(folder: string): Promise<SigningKey> {
  const seed = kernel(32);
  const key = await signingKeyFromSeed(Uint8Array.from(seed));
  writeKey(join(folder, laterKeyFile('command', key.kid)), seed);
  return key;
}

type Program = Readonly<{ path: string; keep(kept: object): void; seeds: string[] }>;

/** As an operator's: an executable file that knows where its keys are. */
function keyProgram(): Program {
  const folder = newFolder();
  const [path, kept] = [join(folder, 'program'), join(folder, 'kept.json')];
  const source = join(import.meta.dirname, 'key-program.ts');
  writeFileSync(path, `#!/bin/sh\nexec '${process.execPath}' '${source}' '${kept}'\n`);
  chmodSync(path, 0o700);
  const seeds = [kernel(32), kernel(32)].map(toBase64url);
  const keep = (more: object) => writeFileSync(kept, JSON.stringify({ seeds, ...more }));
  keep({});
  return { path, keep, seeds };
}

const keysOf = (seeds: readonly string[]) =>
  Promise.all(seeds.map((seed) => signingKeyFromSeed(Uint8Array.from(Buffer.from(seed, 'base64url')))));

signerContract('the signer’s folder', async (): Promise<Subject> => {
  const folder = newFolder();
  const keys = [await keyIn(join(folder, 'command.key')), await keyInFolder(folder)];
  return { signer: folderSigner(folder), keys, add: () => keyInFolder(folder), breakDown: null };
});

signerContract('a credential', async (): Promise<Subject> => {
  const path = join(newFolder(), 'command-key');
  const key = await keyIn(path);
  const signer = await credentialSigner(path);
  // The service manager takes it away, or the process is another user by then.
  rmSync(path);
  return { signer, keys: [key], add: null, breakDown: null };
});

signerContract('a key program', async (): Promise<Subject> => {
  const { path, keep, seeds } = keyProgram();
  const add = async () => {
    seeds.push(toBase64url(kernel(32)));
    keep({});
    return (await keysOf(seeds)).at(-1) as SigningKey;
  };
  return {
    signer: programSigner(path, null, PATIENCE_MS),
    keys: await keysOf(seeds),
    add,
    breakDown: () => keep({ wrong: 'exit' }),
  };
});

describe('a key in a file', () => {
  const inFolder = (path: string) => folderSigner(path).keys();

  test.each([0o640, 0o604, 0o660, 0o644, 0o622])('of mode %o is KEY_EXPOSED, wherever it lies', async (mode) => {
    const folder = newFolder();
    const path = join(folder, 'command.key');
    await keyIn(path);
    chmodSync(path, mode);
    await expect(inFolder(folder)).rejects.toMatchObject({ code: 'KEY_EXPOSED', details: { reason: 'mode' } });
    if (mode !== 0o640) expect(await refusal(credentialSigner(path))).toBe('KEY_EXPOSED');
    chmodSync(path, 0o600);
    expect(await inFolder(folder)).toHaveLength(1);
    chmodSync(path, 0o400);
    expect(await refusal(credentialSigner(path))).toBeNull();
  });

  test('of somebody else is KEY_EXPOSED, and a credential may show an access list of root’s alone', async (context) => {
    if (process.getuid?.() !== 0) unavailable(context, 'files of other users', 'run as root');
    const folder = newFolder();
    const path = join(folder, 'command.key');
    await keyIn(path);
    chownSync(path, 60_903, 0);
    await expect(inFolder(folder)).rejects.toMatchObject({ code: 'KEY_EXPOSED', details: { reason: 'owner' } });
    expect(await refusal(credentialSigner(path))).toBe('KEY_EXPOSED');
    chownSync(path, 0, 0);
    chmodSync(path, 0o440);
    expect(await refusal(credentialSigner(path))).toBeNull();
    chownSync(path, 0, 60_903);
    expect(await refusal(credentialSigner(path))).toBe('KEY_EXPOSED');
  });

  test('behind a link is KEY_EXPOSED, and one that is no key CONFIG_INVALID', async () => {
    const folder = newFolder();
    await keyIn(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'command.key'));
    expect(await refusal(inFolder(folder))).toBe('KEY_EXPOSED');
    rmSync(join(folder, 'command.key'));
    writeFileSync(join(folder, 'command.key'), '{"v":1}', { mode: 0o600 });
    expect(await refusal(inFolder(folder))).toBe('CONFIG_INVALID');
  });
});

describe('a key program', () => {
  test.each([
    ['bytes', 'signature'],
    ['nonsense', 'answer'],
    ['exit', 'exit'],
    ['hang', 'ETIMEDOUT'],
  ] as const)('that does %s wrong has signed nothing: %s', async (wrong, reason) => {
    const { path, keep } = keyProgram();
    const signer = programSigner(path, null, wrong === 'hang' ? HURRY_MS : PATIENCE_MS);
    const [key] = await signer.keys();
    keep({ wrong });
    const sign = () => signer.sign(key?.kid ?? '', 'lk-command+jws', kernel(16));
    expect(sign).toThrow(
      expect.objectContaining({ code: 'KEY_UNAVAILABLE', details: expect.objectContaining({ reason }) }),
    );
    keep({});
    expect(sign()).toHaveLength(64);
  });

  test('that is not there is KEY_UNAVAILABLE', async () => {
    expect(await refusal(programSigner('/nonexistent/program').keys())).toBe('KEY_UNAVAILABLE');
  });
});
