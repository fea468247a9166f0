// The executor's folder on a small file system that runs full, or is read-only: an operation that cannot be written down is
// refused before anything is changed, and one that could not go on is ended by what is found once there is room again.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Slot } from '../../protocol/seal.ts';
import { HANDED_OVER, STRIKES } from '../lab/strike.ts';
import { StruckGuest } from './struck.ts';

let struck: StruckGuest;
const FOLDER = '/var/lib/latchkey-agent/executor';
const SLOT: Slot = 'account';
const HALFWAY = { end: 'PARTIAL INTERRUPTED', changed: true, collected: true, effects: 1 };

beforeAll(async () => {
  struck = await StruckGuest.boot('storage');
  await sh(`cp -a ${FOLDER} /run/executor
    mount -t tmpfs -o size=256k,mode=0700 tmpfs ${FOLDER}
    cp -a /run/executor/. ${FOLDER}/`);
  // The mount would not outlive a reboot.
  await struck.guest.swallowReboots(1_000);
});
afterAll(() => struck?.destroy());

async function sh(script: string): Promise<string> {
  const { code, stdout, stderr } = await struck.guest.exec(['sh', '-ec', script]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** Leaves room for so many pages and no more. */
const fill = (pages: number) =>
  sh(`cat /dev/zero > ${FOLDER}/filler 2>/run/full || true
    truncate -s -${pages * 4096} ${FOLDER}/filler`);
const makeRoom = () => sh(`rm -f ${FOLDER}/filler`);

/** One operation that meets the trouble; `heal` once the agent has said that it cannot write. */
async function play(trouble: () => Promise<unknown>, heal: () => Promise<unknown>, strikes: readonly object[] = []) {
  const before = await struck.evidence(SLOT);
  await struck.guest.writeFile(HANDED_OVER, '');
  await struck.guest.writeFile(STRIKES, JSON.stringify(strikes));
  const { op } = await struck.order(SLOT, trouble);
  const ended = struck.issuer.end(op);
  const stuck = struck.issuer.frame('refused', (frame) => frame.op === op);
  await Promise.race([ended, stuck]);
  await heal();
  await ended;
  return struck.outcome(SLOT, op, before);
}

describe('a folder that runs full', () => {
  it('before the acceptance refuses with DISK_FULL, and nothing is begun', async () => {
    const { op, end, changed, effects } = await play(() => fill(0), makeRoom);
    expect({ end, changed, effects }).toEqual({ end: 'REFUSED DISK_FULL', changed: false, effects: 0 });
    expect(await struck.remembered(op)).toBe(false);
  });

  it('anywhere later ends by what is found once there is room, and loses no password', async () => {
    for (const pages of [1, 2]) {
      const { end, changed, collected, effects } = await play(() => fill(pages), makeRoom);
      expect(effects).toBeLessThanOrEqual(1);
      if (changed) expect([end.split(' ')[0], collected]).toEqual(['PARTIAL', true]);
      else expect(['REFUSED DISK_FULL', 'INTERRUPTED INTERRUPTED']).toContain(end);
    }
  });

  it('from the death of the executor on lets the operation end once there is room', async () => {
    const turn = `(until [ -s ${HANDED_OVER} ]; do sleep 0.01; done; cat /dev/zero > ${FOLDER}/filler) >/dev/null 2>&1 &`;
    const strikes = [{ at: 'journal', text: '"state":"PASSWORD_SET"', when: 'before' }];
    expect(await play(() => struck.guest.exec(['sh', '-c', turn]), makeRoom, strikes)).toMatchObject(HALFWAY);
  });
});

describe('a folder that is read-only', () => {
  const readOnly = () => sh(`mount -o remount,ro ${FOLDER}`);
  const writable = () => sh(`mount -o remount,rw ${FOLDER}`);

  it('before the acceptance refuses with FS_READONLY, and nothing is begun', async () => {
    const { end, changed, effects } = await play(readOnly, writable);
    expect({ end, changed, effects }).toEqual({ end: 'REFUSED FS_READONLY', changed: false, effects: 0 });
  });

  it('from the death of the executor on lets the operation end once it can be written down', async () => {
    // While a process has the journal open, this file system cannot be turned; as soon as it is dead, it is.
    const turn = `(until [ -s ${HANDED_OVER} ] && mount -o remount,ro ${FOLDER}; do sleep 0.01; done) >/dev/null 2>&1 &`;
    const strikes = [{ at: 'journal', text: '"state":"PASSWORD_SET"', when: 'before' }];
    expect(await play(() => struck.guest.exec(['sh', '-c', turn]), writable, strikes)).toMatchObject(HALFWAY);
  });
});

it('none of this is a defect of the executor', async () => {
  const log = await sh('cat /var/log/lab/executor.log');
  expect(log).toMatch(/DISK_FULL/);
  expect(log).toMatch(/FS_READONLY/);
  expect(log).not.toMatch(/INTERNAL/);
});
