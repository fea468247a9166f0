// What of a machine its system leaves in an image: each kind is seen and named, and an image without any has none.

import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageFilesAt } from '../../../agent/adapters/image-files-linux.ts';
import { findRemnants } from '../../../agent/image/remnants.ts';
import { reportJson, reportLines } from '../../../agent/image/seal-report.ts';
import { bytes32Text } from '../../protocol/samples.ts';
import { makeImage, putIn } from './image.ts';

const TOKEN = `lkj_${bytes32Text(0x70)}`;
let image = '';
beforeEach(() => {
  image = makeImage();
});
afterEach(() => rmSync(image, { recursive: true, force: true }));

const found = () => findRemnants(imageFilesAt(image)).map(({ what, paths }) => [what, paths]);

test('an image fresh from its builder has nothing of one machine', () => {
  putIn(image, '/etc/machine-id', '');
  putIn(image, '/var/log/wtmp', '');
  putIn(image, '/root/.bash_history', '');
  putIn(image, '/etc/ssh/sshd_config', 'UsePAM yes\n');
  putIn(image, '/etc/default/grub', 'GRUB_CMDLINE_LINUX="quiet"\n');
  putIn(image, '/home/ada/.profile', 'umask 022\n');
  expect(found()).toEqual([]);
});

describe('74 an image is told to hold', () => {
  test.each([
    ['machine_id', '/etc/machine-id', '11111111222222223333333344444444\n'],
    ['machine_id', '/var/lib/dbus/machine-id', '11111111222222223333333344444444\n'],
    ['ssh_host_key', '/etc/ssh/ssh_host_ed25519_key', 'key'],
    ['random_seed', '/var/lib/systemd/random-seed', 'seed'],
    ['random_seed', '/boot/efi/loader/random-seed', 'seed'],
    ['credential_secret', '/var/lib/systemd/credential.secret', 'secret'],
    ['system_journal', '/var/log/journal/1111/system.journal', 'LPKSHHRH'],
    ['log', '/var/log/apt/history.log', 'Start-Date'],
    ['shell_history', '/root/.bash_history', 'passwd\n'],
    ['shell_history', '/home/ada/.python_history', '1\n'],
    ['shell_history', '/home/gone/.zsh_history', 'ls\n'],
    ['shell_history', '/.bash_history', 'ls\n'],
    ['cloud_init', '/var/lib/cloud/instances/i-1/user-data.txt', '#cloud-config'],
    ['dhcp_lease', '/var/lib/dhcp/dhclient.eth0.leases', 'lease {}'],
    ['network_key', '/var/lib/NetworkManager/secret_key', 'key'],
    ['join_token_elsewhere', '/etc/credstore/latchkey.join-token', TOKEN],
    ['join_token_elsewhere', '/etc/default/grub', `GRUB_CMDLINE_LINUX="latchkey=${TOKEN}"`],
    ['join_token_elsewhere', '/boot/loader/entries/a.conf', `options t=${Buffer.from(TOKEN).toString('base64')}`],
    ['operator_session', '/root/.local/state/latchkey/pins.json', '{}'],
    ['control_plane_data', '/var/lib/latchkey/signer/command.key', 'key'],
  ])('%s: %s', (what, path, text) => {
    putIn(image, path, text);
    expect(found()).toEqual([[what, [path]]]);
  });
});

test.each([
  ['uninitialized\n', []],
  ['', []],
  ['11111111222222223333333344444444', [['machine_id', ['/etc/machine-id']]]],
])('a machine-id of %j', (text, expected) => {
  putIn(image, '/etc/machine-id', text);
  putIn(image, '/var/lib/dbus/other', 'x');
  symlinkSync('/etc/machine-id', join(image, 'var/lib/dbus/machine-id'));
  expect(found()).toEqual(expected);
});

describe('what is said', () => {
  const left = [
    { what: 'log', paths: ['1', '2', '3', '4', '5', '6', '7'].map((n) => `/var/log/${n}`), how: 'rm FILE' },
  ];
  const removed = [{ what: 'link_key', paths: ['/k'], how: 'latchkey-agent seal' }];

  test('names what was removed, what is left, how to be rid of it, and that unlinking does not wipe', () => {
    const text = reportLines({ removed, left }).join('\n');
    for (const part of ['removed  link_key  /k', 'left     log  /var/log/5', 'and 2 more', 'rm FILE', 'overwritten'])
      expect(text).toContain(part);
    expect(text).not.toContain('/var/log/6');
    expect(reportLines({ removed: [], left: [] })).toHaveLength(1);
  });

  test('by a check names what is left, or that nothing is', () => {
    expect(reportLines({ removed: null, left: [] })).toEqual(['Nothing of one machine is left.']);
    expect(reportLines({ removed: null, left })).toHaveLength(8);
  });

  test('to a program is the same in one object', () => {
    expect(reportJson({ removed: null, left })).toEqual({ left });
    expect(reportJson({ removed, left })).toEqual({ removed: [{ what: 'link_key', paths: ['/k'] }], left });
  });
});
