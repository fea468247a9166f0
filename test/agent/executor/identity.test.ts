// The executor's own folder: made once, private, and refused where someone else could have had a hand in it.

import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cancelBoxAt } from '../../../agent/executor/cancel-box.ts';
import { makeKeys, readIdentity, readKeys, writeIdentity } from '../../../agent/executor/identity.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { AGENT, bytes32Text } from '../../protocol/samples.ts';
import { randomFake } from '../fakes/random-fake.ts';

const identity = { v: 1, agent: AGENT, project: 'default', marker: bytes32Text(3) } as const;
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-executor-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('keys', () => {
  test('are made once: a second time gives the same', async () => {
    const first = await makeKeys(folder, randomFake('one'));
    const second = await makeKeys(folder, randomFake('two'));
    expect(second.ek.kid).toBe(first.ek.kid);
    expect(second.macKey).toEqual(first.macKey);
  });
  test('are not each other', async () => {
    const { ek, macKey } = await makeKeys(folder, randomFake('one'));
    expect(Buffer.from(macKey).toString('base64url')).not.toBe(ek.jwk.x);
  });
  test('that are missing mean that the machine is not enrolled', async () => {
    expect(await codeFrom(() => readKeys(folder))).toBe('NOT_ENROLLED');
    expect(await codeFrom(() => readIdentity(folder))).toBe('NOT_ENROLLED');
  });
});

describe('a file', () => {
  test.each([0o604, 0o640, 0o602, 0o660])('of mode %o is refused', async (mode) => {
    await makeKeys(folder, randomFake('one'));
    await chmod(join(folder, 'keys.json'), mode);
    expect(await codeFrom(() => readKeys(folder))).toBe('JOURNAL_UNSAFE');
  });
  test('that is a link to another is refused', async () => {
    const elsewhere = join(folder, 'elsewhere.json');
    await writeFile(elsewhere, JSON.stringify(identity), { mode: 0o600 });
    await symlink(elsewhere, join(folder, 'identity.json'));
    expect(await codeFrom(() => readIdentity(folder))).toBe('JOURNAL_UNSAFE');
  });
  test('that is damaged is refused', async () => {
    await writeFile(join(folder, 'identity.json'), '{', { mode: 0o600 });
    expect(await codeFrom(() => readIdentity(folder))).toBe('JOURNAL_UNSAFE');
  });
  test('with an unknown member is refused', async () => {
    await writeFile(join(folder, 'identity.json'), JSON.stringify({ ...identity, x: 1 }), { mode: 0o600 });
    expect(await codeFrom(() => readIdentity(folder))).toBe('SCHEMA_INVALID');
  });
});

test('an identity is never overwritten', async () => {
  await writeIdentity(folder, identity);
  await writeIdentity(folder, { ...identity, agent: AGENT.replace(/2$/, '9') });
  expect(await readIdentity(folder)).toEqual(identity);
});

test('the cancel box gives what was put last, and nothing where nothing was put', async () => {
  const box = cancelBoxAt(folder);
  expect(await box.take()).toBeNull();
  await box.put('one');
  await box.put('two');
  expect(await box.take()).toBe('two');
  expect(await readFile(join(folder, 'cancel'), 'ascii')).toBe('two');
});
