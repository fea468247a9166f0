// The Linux adapter on files of a test's own: only what needs no account database of a real machine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { accountsLinux } from '../../../agent/adapters/accounts-linux.ts';

it('an account database that cannot be read is a failure with its code, and no defect', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-accounts-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [passwd, shadow] = [join(folder, 'passwd'), join(folder, 'shadow')];
  writeFileSync(passwd, 'root:x:0:0:root:/root:/bin/sh\n');
  const accounts = accountsLinux({ macKey: new Uint8Array(32), paths: { passwd, shadow } });
  const refused = { code: 'VERIFY_FAILED', details: { reason: 'database_unreadable', errno: 'ENOENT' } };
  await expect(accounts.fingerprint()).rejects.toMatchObject(refused);
  await expect(accounts.resolve(null)).rejects.toMatchObject(refused);
});
