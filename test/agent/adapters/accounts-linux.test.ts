// The Linux adapter on files of a test's own: only what needs no account database of a real machine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { accountsLinux } from '../../../agent/adapters/accounts-linux.ts';

/** A database of a test's own, without the files that are `null`. */
function accountsOver(passwdText: string | null, shadowText: string | null) {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-accounts-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [passwd, shadow] = [join(folder, 'passwd'), join(folder, 'shadow')];
  if (passwdText !== null) writeFileSync(passwd, passwdText);
  if (shadowText !== null) writeFileSync(shadow, shadowText);
  return accountsLinux({ macKey: new Uint8Array(32), paths: { passwd, shadow } });
}

it('an account database that cannot be read is a failure with its code, and no defect', async () => {
  const accounts = accountsOver(null, 'root:*:1::::::\n');
  const refused = { code: 'VERIFY_FAILED', details: { reason: 'database_unreadable', errno: 'ENOENT' } };
  await expect(accounts.fingerprint()).rejects.toMatchObject(refused);
  await expect(accounts.resolve(null)).rejects.toMatchObject(refused);
});

it('a shadow file may be missing exactly where no hash is in it', async () => {
  const refused = { code: 'VERIFY_FAILED', details: { reason: 'database_unreadable', errno: 'ENOENT' } };
  await expect(accountsOver('root:x:0:0::/root:/bin/sh\n', null).resolve(null)).rejects.toMatchObject(refused);
  const accounts = accountsOver('root:*:0:0::/root:/bin/sh\n', null);
  expect(await accounts.resolve(null)).toEqual({ name: 'root', uid: 0, state: 'no_password' });
  expect(Object.keys(await accounts.fingerprint())).toEqual(['root']);
});

it('an administrator whose name no command can carry is told as that', async () => {
  const refused = { code: 'ACCOUNT_NOT_FOUND', details: { reason: 'name' } };
  for (const name of ['chief@x', '0', 'a b'])
    await expect(accountsOver(`${name}:*:0:0::/:/bin/sh\n`, '').resolve(null)).rejects.toMatchObject(refused);
});
