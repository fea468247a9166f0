// What files of /proc mean, and who this process is in it.

import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseMountinfo, topMount } from '../../../agent/adapters/mountinfo.ts';
import { addressToReach, isLocked, parseStartTime, parseTcpTable, procAt } from '../../../agent/adapters/proc.ts';

describe('mounts', () => {
  const text = [
    '22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a',
    '23 22 254:1 / /mnt/with\\040blank ro,noatime shared:2 master:1 - ext4 /dev/vda1 rw',
    '24 22 0:21 / /run rw - tmpfs tmpfs ro,size=1k',
    '30 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,errors=remount-ro',
    'not a mount',
    '',
  ].join('\n');

  it('the last mount at a place is the one that is seen', () => {
    expect(topMount(parseMountinfo(text), '/')).toEqual({ mountPoint: '/', type: 'ext4', readOnly: false });
    expect(topMount(parseMountinfo(text), '/nowhere')).toBeUndefined();
  });
  it('optional fields, escapes and both kinds of options are understood', () => {
    expect(parseMountinfo(text).slice(1, 3)).toEqual([
      { mountPoint: '/mnt/with blank', type: 'ext4', readOnly: true },
      { mountPoint: '/run', type: 'tmpfs', readOnly: true },
    ]);
  });
});

describe('sockets', () => {
  it('have their ports in hexadecimal', () => {
    const table = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      '   0: 0100007F:170D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7001 1 0 100 0 0 10 0',
      '   1: 0100007F:170E 0100007F:ABCD 01 00000000:00000000 00:00000000 00000000  1000        0 7002 1 0 20 4 30 10 -1',
    ].join('\n');
    expect(parseTcpTable(table)).toEqual([
      { state: '0A', address: '0100007F', port: 5901, peerPort: 0, inode: '7001' },
      { state: '01', address: '0100007F', port: 5902, peerPort: 0xabcd, inode: '7002' },
    ]);
  });
  it('are reached at the address at which they listen, or on loopback where that is any', () => {
    const any6 = '0'.repeat(32);
    const mapped = `${'0'.repeat(16)}FFFF00000200007F`;
    const loopback6 = `${'0'.repeat(24)}01000000`;
    const texts = ['00000000', '0100007F', '0200007F', '0500000A', any6, mapped, loopback6].map(addressToReach);
    expect(texts).toEqual(['127.0.0.1', '127.0.0.1', '127.0.0.2', '10.0.0.5', '127.0.0.1', '127.0.0.2', undefined]);
  });
});

describe('locks', () => {
  const locks = [
    '1: POSIX  ADVISORY  WRITE 700 fe:01:4711 0 EOF',
    '1: -> POSIX  ADVISORY  WRITE 701 fe:01:4712 0 EOF',
    '2: FLOCK  ADVISORY  WRITE 702 fe:01:47110 0 EOF',
  ].join('\n');
  it('a file is locked by who holds it, not by who waits or has another file', () => {
    expect([4711, 4712, 4710].map((inode) => isLocked(locks, inode, 1))).toEqual([true, false, false]);
  });
  it('the process that is asked about does not hold itself up', () => {
    expect(isLocked(locks, 4711, 700)).toBe(false);
  });
});

describe('processes', () => {
  it('a start time is read behind a name with brackets and blanks, and a zombie has none', () => {
    const stat = (state: string): string =>
      `7 (a) b (c)) ${state} ${Array.from({ length: 40 }, (_, n) => n + 4).join(' ')}`;
    expect(parseStartTime(stat('S'))).toBe('22');
    expect(parseStartTime(stat('Z'))).toBeUndefined();
  });
  it('this process is found with its program, arguments, owner and port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const proc = procAt();
    const self = proc.process(process.pid);
    expect(self).toMatchObject({
      exe: process.execPath,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      parent: process.ppid,
    });
    expect(proc.running(['node']).map(({ pid }) => pid)).toContain(process.pid);
    expect(proc.listeners(process.pid)).toContainEqual({ port, address: '127.0.0.1' });
    expect([proc.sameNetwork(process.pid), proc.sameRoot(process.pid)]).toEqual([true, true]);
    server.close();
  });
  it('a folder is the machine’s where its first process has the same', () => {
    const made = mkdtempSync(join(tmpdir(), 'latchkey-proc-'));
    onTestFinished(() => rmSync(made, { recursive: true }));
    for (const path of ['one/home', 'other/home', 'proc/1', 'proc/7', 'proc/8'])
      mkdirSync(join(made, path), { recursive: true });
    for (const [pid, root] of Object.entries({ 1: 'one', 7: 'one', 8: 'other' }))
      symlinkSync(join(made, root), join(made, 'proc', pid, 'root'));
    const proc = procAt(join(made, 'proc'));
    expect([7, 8].map((pid) => proc.sameFolder(pid, '/home'))).toEqual([true, false]);
    expect(proc.sameFolder(7, '/not-there')).toBe(false);
  });
  it('a connection is held by who took it, and by nobody else', async () => {
    const proc = procAt();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect(port, '127.0.0.1');
    await Promise.all([once(client, 'connect'), once(server, 'connection')]);
    const ports = { port, peerPort: client.localPort ?? 0 };
    const held = [ports, { ...ports, peerPort: ports.peerPort + 1 }, { ...ports, port: port + 1 }];
    expect(held.map((each) => proc.holdsConnection(process.pid, each))).toEqual([true, false, false]);
    expect(proc.holdsConnection(process.ppid, ports)).toBe(false);
    client.destroy();
    server.close();
  });
  it('a process that is not there is not found', () => {
    const proc = procAt();
    expect([proc.process(2 ** 30), proc.startTime(2 ** 30)]).toEqual([undefined, undefined]);
    expect(proc.listeners(2 ** 30)).toEqual([]);
  });
});
