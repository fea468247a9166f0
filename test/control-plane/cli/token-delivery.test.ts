// Join tokens in the form in which machines get them: what an image builder copies must be what an agent takes.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { instructions, writeMaterial } from '../../../control-plane/cli/token-delivery.ts';
import { materialOf } from '../../../control-plane/core/join-material.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { bytes32Text } from '../../protocol/samples.ts';

const created = { id: `tok_${'0'.repeat(26)}`, token: `lkj_${bytes32Text(0x70)}` };
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-delivery-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a join token', () => {
  test('as a file is the token', async () => {
    const path = join(folder, 'join-token');
    expect(await writeMaterial(materialOf('file', created), path)).toEqual([path]);
    expect(readFileSync(path, 'utf8')).toBe(`${created.token}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('as an OEM string of SMBIOS is a credential of systemd, and comes out of a file', async () => {
    const path = join(folder, 'a,b c');
    await writeMaterial(materialOf('smbios', created), path);
    expect(readFileSync(path, 'utf8')).toBe(`io.systemd.credential:latchkey.join-token=${created.token}`);
    const [qemu = ''] = instructions('smbios', path);
    // A comma begins another option of QEMU's unless it is doubled; nothing of the token is in the line.
    expect(qemu).toBe(`QEMU: -smbios type=11,path='${path.replace(',', ',,')}'`);
  });

  test('on a config drive is what cloud-init writes with mode 0600, and a file for images without it', async () => {
    const drive = join(folder, 'seed');
    await writeMaterial(materialOf('nocloud', created), drive);
    expect(readdirSync(drive).toSorted()).toEqual(['latchkey-join-token', 'meta-data', 'user-data']);
    expect(statSync(drive).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(drive, 'latchkey-join-token'), 'utf8')).toBe(`${created.token}\n`);
    expect(readFileSync(join(drive, 'meta-data'), 'utf8')).toBe(`instance-id: ${created.id}\n`);
    const userData = readFileSync(join(drive, 'user-data'), 'utf8');
    const [kind, ...document] = userData.split('\n');
    expect(kind).toBe('#cloud-config');
    // JSON is YAML (YAML 1.2, section 1.3).
    expect(JSON.parse(document.join('\n'))).toEqual({
      write_files: [
        {
          path: '/etc/latchkey-agent/join-token',
          owner: 'root:root',
          permissions: '0600',
          content: `${created.token}\n`,
        },
      ],
    });
  });

  test('that cannot be written is told', async () => {
    expect(await codeFrom(() => writeMaterial(materialOf('file', created), join('/proc', 'join-token')))).toBe(
      'PATH_UNWRITABLE',
    );
  });
});
