// First passwords: both together, generated in the machine, for the one machine that the token was made for.

import { describe, expect, test } from 'vitest';
import { intentBytes } from '../../../protocol/intent.ts';
import { toBase64url } from '../../../protocol/keys.ts';
import type { Ready } from '../../../protocol/session.ts';
import { signToken } from '../../../protocol/token.ts';
import { AGENT, bytes32Text, keys, NOW_S, sampleCommand, sampleInitialise } from '../../protocol/samples.ts';
import { FakeClock } from '../fakes/clock-fake.ts';
import { Crash, dieOnReboot, type Guest, makeGuest, states } from './guest.ts';
import { collected, operatorKey } from './orders.ts';

const identity = { agent: AGENT, project: 'default', joinSha256: sampleInitialise().join_sha256, ek: keys.ek };
const generated = { mode: 'generated', recipient_jwk: operatorKey.jwk } as const;
type Intent = ReturnType<typeof sampleInitialise>;

async function initialise(ready: Ready, change: Partial<Intent> = {}): Promise<string> {
  const sample = sampleInitialise();
  const account = { ...sample.account, secret: generated };
  const intent = { ...sample, op: ready.op, not_after: NOW_S + 900, account, ...change };
  const command = { ...sampleCommand(), op: ready.op, cn: ready.cn, intent: toBase64url(intentBytes(intent)) };
  return signToken('lk-command+jws', command, keys.command);
}

/** To its end, through the reboot. */
async function run(guest: Guest, change: Partial<Intent> = {}) {
  dieOnReboot(guest);
  const { conversation, ready } = await guest.prepare();
  conversation.send({ t: 'execute', token: await initialise(ready, change) });
  const end = await conversation.over;
  guest.machine.faults.clear();
  if (end instanceof Crash) await guest.ask({ t: 'resume' });
  return guest.receipts();
}

describe('the same password for both', () => {
  test('is set as the account’s and as VNC’s, and the operator opens either', async () => {
    const guest = makeGuest({ parts: { identity } });
    const receipts = await run(guest);
    expect(states(receipts)).toEqual([
      'ACCEPTED',
      'SECRET_READY',
      'PASSWORD_SET',
      'VNC_SET',
      'REBOOTING',
      'BOOTED',
      'DONE',
    ]);
    const password = guest.machine.accounts.get('root')?.password;
    expect(password).toHaveLength(24);
    expect(await collected(receipts, 'account')).toBe(password);
    expect(await collected(receipts, 'vnc')).toBe(password);
    expect(guest.vnc.source).toBe(password?.slice(0, 8));
  });

  test('is said to begin alike where 8 characters of it count', async () => {
    const receipts = await run(makeGuest({ parts: { identity } }));
    expect(receipts.at(-1)?.warnings).toEqual(
      expect.arrayContaining(['VNC_SHARES_ACCOUNT_PASSWORD', 'VNC_TRUNCATED', 'ACCOUNT_HAD_NO_PASSWORD']),
    );
  });
});

test('two passwords, where that is the policy', async () => {
  const guest = makeGuest({ parts: { identity } });
  const receipts = await run(guest, { vnc: { server: null, secret: generated, restart: true } });
  const [account, vnc] = [await collected(receipts, 'account'), await collected(receipts, 'vnc')];
  expect(receipts.at(-1)?.state).toBe('DONE');
  expect(guest.machine.accounts.get('root')?.password).toBe(account);
  expect(guest.vnc.source).toBe(vnc);
  expect(vnc).toHaveLength(8);
  expect(account?.startsWith(vnc ?? '')).toBe(false);
  expect(receipts.at(-1)?.warnings).not.toContain('VNC_SHARES_ACCOUNT_PASSWORD');
});

test.each(['another token', 'none that is known'])('a machine that enrolled with %s is left alone', async (which) => {
  const guest = makeGuest(
    which === 'another token' ? { parts: { identity: { ...identity, joinSha256: bytes32Text(0x53) } } } : {},
  );
  const before = guest.vnc.source;
  const receipts = await run(guest);
  expect(receipts).toMatchObject([{ state: 'REFUSED', code: 'AUTHZ_INVALID', detail: { reason: 'join_token' } }]);
  expect(guest.machine.accounts.get('root')?.changes).toBe(0);
  expect(guest.vnc.source).toBe(before);
});

describe('a first boot that is not through', () => {
  test('is waited for: a VNC server that comes later gets its password', async () => {
    const clock = new (class extends FakeClock {
      override pass(ms: number) {
        super.pass(ms);
        if (this.monotonicMs() >= 5_000 && guest.machine.vncServers.length === 0) guest.machine.addVncServer({});
      }
    })();
    const guest = makeGuest({ parts: { identity, clock }, vnc: null });
    const receipts = await run(guest);
    expect(receipts.at(-1)).toMatchObject({ state: 'DONE', detail: { vnc: 'tigervnc:5901' } });
  });

  test('is waited for a minute: what never comes is reported', async () => {
    const guest = makeGuest({ parts: { identity }, vnc: null });
    const receipts = await run(guest);
    expect(receipts.at(-1)).toMatchObject({
      state: 'PARTIAL',
      code: 'VNC_ABSENT',
      detail: { verified: { account: true } },
    });
  });
});
