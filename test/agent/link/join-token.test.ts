// The join token: one of three places, nothing but a token, and never the kernel's command line.

import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  dropJoinToken,
  exposedTokens,
  hasJoinToken,
  readJoinToken,
  type TokenPlaces,
  tokenPlaces,
} from '../../../agent/link/join-token.ts';
import { Failure } from '../../../protocol/failure.ts';
import { bytes32Text } from '../../protocol/samples.ts';

let folder = '';
let places: TokenPlaces;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-join-token-'));
  const paths = { joinToken: join(folder, 'join-token'), driveToken: join(folder, 'drive-token') };
  await mkdir(join(folder, 'credentials'));
  places = { ...tokenPlaces(paths, join(folder, 'credentials')), kernelCommandLine: join(folder, 'cmdline') };
  await boot('');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const [own, other] = [`lkj_${bytes32Text(0x70)}`, `lkj_${bytes32Text(0x71)}`];
const boot = (words: string) => writeFile(join(folder, 'cmdline'), `BOOT_IMAGE=/vmlinuz root=/dev/vda1 ${words}\n`);
const put = (name: string, content: string | Uint8Array) => writeFile(join(folder, name), content, { mode: 0o600 });
const refused = () =>
  readJoinToken(places).catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    return { code: error.code, ...error.details };
  });
const invalid = (source: string, reason: string) => ({ code: 'JOIN_TOKEN_INVALID', source, reason });

describe('the join token', () => {
  test.each([
    ['file', 'join-token'],
    ['config_drive', 'drive-token'],
    ['credential', 'credentials/latchkey.join-token'],
  ])('is found as a %s, with the newline that an editor leaves', async (source, name) => {
    await put(name, `${own}\n`);
    expect(await hasJoinToken(places)).toBe(true);
    expect(await readJoinToken(places)).toEqual({ text: own, source });
  });

  test('is the one that can be deleted, where there are several', async () => {
    await put('credentials/latchkey.join-token', other);
    await put('drive-token', own);
    expect(await readJoinToken(places)).toEqual({ text: own, source: 'config_drive' });
    await put('join-token', other);
    expect(await readJoinToken(places)).toEqual({ text: other, source: 'file' });
  });

  test('that is bad is told, and no reason to take another one', async () => {
    await put('join-token', 'x');
    await put('credentials/latchkey.join-token', own);
    expect(await refused()).toEqual(invalid('file', 'form'));
  });

  test.each(['', 'lkj_', 'lkj_short', `LKJ_${bytes32Text(1)}`, `lkj_${bytes32Text(1)}x`, `x lkj_${bytes32Text(1)}`])(
    'is invalid: %j',
    async (content) => {
      await put('join-token', content);
      expect(await refused()).toEqual(invalid('file', 'form'));
    },
  );

  test('is invalid where it is no small file', async () => {
    await put('join-token', `${own}${' '.repeat(4_096)}`);
    expect(await refused()).toEqual(invalid('file', 'form'));
    await rm(places.file ?? '');
    await mkdir(places.file ?? '');
    expect(await refused()).toEqual(invalid('file', 'form'));
  });

  test('may lie elsewhere, behind a link; one that leads nowhere is none, one in a circle an error', async () => {
    await put('elsewhere', own);
    await symlink('elsewhere', places.file ?? '');
    expect(await readJoinToken(places)).toMatchObject({ text: own });
    await rm(join(folder, 'elsewhere'));
    expect(await refused()).toEqual(invalid('none', 'absent'));
    await rm(places.file ?? '');
    await symlink('join-token', places.file ?? '');
    expect(await refused()).toEqual(invalid('file', 'ELOOP'));
  });

  test('that is nowhere is JOIN_TOKEN_INVALID', async () => {
    expect(await hasJoinToken(places)).toBe(false);
    expect(await refused()).toEqual(invalid('none', 'absent'));
    expect(await hasJoinToken(tokenPlaces({ joinToken: '/nowhere/1', driveToken: '/nowhere/2' }, undefined))).toBe(
      false,
    );
  });

  test.each([
    `${own}\nwss://evil.example/agent/v1`,
    `http://169.254.169.254/latest/user-data?token=${own}`,
    JSON.stringify({ token: own, url: ['ws://10.0.0.1/agent/v1'] }),
  ])('76 brings no address of a control plane along: %j', async (content) => {
    await put('drive-token', content);
    expect(await refused()).toEqual(invalid('config_drive', 'names_address'));
  });

  test('77 is not read from the kernel’s command line', async () => {
    await boot(`latchkey.join-token=${own}`);
    expect(await hasJoinToken(places)).toBe(false);
    expect(await refused()).toEqual(invalid('none', 'kernel_command_line'));
  });

  test.each([
    ['by name', own],
    ['in a word of another program', `x=1,${own};`],
    ['as systemd’s own way to pass credentials', `systemd.set_credential=latchkey.join-token:${own}`],
    ['the same, as base64', `systemd.set_credential_binary=latchkey.join-token:${btoa(own)}`],
    ['the same, with a newline in it', `systemd.set_credential_binary=latchkey.join-token:${btoa(`${own}\n`)}`],
  ])('77 that stands there %s is not used, from wherever else it comes', async (_, words) => {
    await boot(words);
    for (const [source, name] of [
      ['credential', 'credentials/latchkey.join-token'],
      ['config_drive', 'drive-token'],
      ['file', 'join-token'],
    ] as const) {
      await put(name, own);
      expect(await refused()).toEqual(invalid(source, 'kernel_command_line'));
    }
    expect(await exposedTokens(places)).toEqual(['kernel_command_line']);
    // Another machine's, in a line that was copied along: this machine's own is good.
    await put('join-token', other);
    expect(await readJoinToken(places)).toMatchObject({ text: other });
  });

  test('in a file that others can read is used, and told', async () => {
    await put('join-token', own);
    expect(await exposedTokens(places)).toEqual([]);
    for (const mode of [0o640, 0o604, 0o620]) {
      await chmod(places.file ?? '', mode);
      expect(await exposedTokens(places), mode.toString(8)).toEqual(['file']);
    }
    expect(await readJoinToken(places)).toMatchObject({ text: own });
  });

  test('is deleted where it can be', async () => {
    await put('join-token', own);
    await put('drive-token', own);
    await put('credentials/latchkey.join-token', own);
    await dropJoinToken(places);
    expect((await readdir(folder)).toSorted()).toEqual(['cmdline', 'credentials']);
    expect(await readdir(join(folder, 'credentials'))).toEqual(['latchkey.join-token']);
    await dropJoinToken(places);
  });
});
