// Refusals: each is a signed receipt and an entry in the journal, and nothing of the machine is touched.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Code } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';
import { sealingKeyFromSeed } from '../../../protocol/keys.ts';
import { READY_TTL_S } from '../../../protocol/limits.ts';
import { countingBytes, keys, NOW_S, OP, sampleRoot } from '../../protocol/samples.ts';
import { dieOnReboot, type Guest, makeGuest, verifyChain } from './guest.ts';
import { ackOf, drawPassword, order, type Wishes } from './orders.ts';

const OTHER_OP = `op_${'0'.repeat(25)}9`;
const otherKey = await sealingKeyFromSeed(countingBytes(0x77));

/** Calls of ports that change something, or could. */
const effects = (guest: Guest): string[] =>
  guest.machine.faults.calls.filter((call) =>
    ['accounts.setPassword', 'vnc.setPassword', 'power.reboot'].includes(call),
  );

/** Sends a command to a prepared executor and expects a signed, journaled refusal that touched nothing. */
async function refused(
  guest: Guest,
  code: Code,
  wishes: Wishes | ((ready: Awaited<ReturnType<Guest['prepare']>>['ready']) => Promise<string>),
): Promise<void> {
  const accounts = structuredClone([...guest.machine.accounts]);
  const files = structuredClone(guest.machine.vncServers);
  const { conversation, ready } = await guest.prepare();
  conversation.send({
    t: 'execute',
    token: typeof wishes === 'function' ? await wishes(ready) : await order(ready, wishes),
  });
  expect(await conversation.over).toBeUndefined();
  const [said] = await verifyChain(conversation.receipts);
  expect(said).toMatchObject({ op: OP, n: 1, state: 'REFUSED', code, cn: ready.cn });
  expect(await guest.receipts()).toEqual([said]);
  expect(await guest.operation()).toMatchObject({ state: 'REFUSED', code, work: null });
  expect(effects(guest)).toEqual([]);
  expect([...guest.machine.accounts]).toEqual(accounts);
  expect(guest.machine.vncServers).toEqual(files);
  expect(conversation.answers.at(-1)).toEqual({ t: 'end' });
}

const flip = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1);

describe('a token', () => {
  test('with an altered byte is refused in the privileged process itself', () =>
    refused(makeGuest(), 'SIG_INVALID', async (ready) => {
      const [header = '', payload = '', signature = ''] = (await order(ready)).split('.');
      return `${header}.${payload}.${flip(signature)}`;
    }));
  test('with another payload under the same signature', () =>
    refused(makeGuest(), 'SIG_INVALID', async (ready) => {
      const [header, , signature] = (await order(ready)).split('.');
      const [, payload] = (await order(ready, { graceS: 1 })).split('.');
      return `${header}.${payload}.${signature}`;
    }));
  test('signed by the session key', () => refused(makeGuest(), 'KID_UNKNOWN', { key: keys.session }));
  test('signed by the root key or by the executor itself', async () => {
    await refused(makeGuest(), 'KID_UNKNOWN', { key: keys.rootA });
    await refused(makeGuest(), 'KID_UNKNOWN', { key: keys.ek });
  });
  test('signed by an unknown key', () => refused(makeGuest(), 'KID_UNKNOWN', { key: keys.spare }));
  test('12 of another type', () => refused(makeGuest(), 'TYP_REFUSED', { typ: 'lk-receipt+jws' }));
  test('unsigned', () =>
    refused(makeGuest(), 'SIG_INVALID', async (ready) => (await order(ready)).replace(/[^.]+$/, 'A'.repeat(86))));
  test('larger than a token may be closes the connection', async () => {
    const guest = makeGuest();
    const { conversation } = await guest.prepare();
    conversation.send({ t: 'execute', token: `${'A'.repeat(16_384)}.A.A` });
    await conversation.over;
    expect(await guest.operation()).toBeUndefined();
    expect(effects(guest)).toEqual([]);
  });
});

describe('a command', () => {
  test('whose nonce is past its time to live', () => {
    const guest = makeGuest();
    return refused(guest, 'NONCE_UNKNOWN', async (ready) => {
      guest.clock.pass(READY_TTL_S * 1000 + 1);
      return order(ready);
    });
  });
  test('just within the time to live is carried out', async () => {
    const guest = makeGuest();
    const { conversation, ready } = await guest.prepare();
    guest.clock.pass(READY_TTL_S * 1000);
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.answer('receipt');
    expect(await guest.operation()).toMatchObject({ code: null });
    conversation.disconnect();
  });
  test('of another operation', () =>
    refused(makeGuest(), 'NONCE_UNKNOWN', { command: { op: OTHER_OP }, intent: { op: OTHER_OP } }));
  test('with the nonce of an executor that is gone', async () => {
    const guest = makeGuest();
    const gone = await guest.prepare();
    gone.conversation.disconnect();
    await gone.conversation.over;
    await refused(guest, 'NONCE_UNKNOWN', () => order(gone.ready));
  });
  test('with a nonce of before the machine’s reboot, of an operation that was done', async () => {
    const guest = makeGuest();
    dieOnReboot(guest);
    const { conversation, ready } = await guest.prepare();
    const token = await order(ready);
    conversation.send({ t: 'execute', token });
    await conversation.over;
    guest.machine.faults.clear();
    guest.machine.reboot();
    await guest.ask({ t: 'resume' });
    const before = [await guest.receipts(), guest.machine.accounts.get('root')?.changes];
    expect(before).toMatchObject([{}, 1]);
    const later = await guest.prepare(OTHER_OP);
    later.conversation.send({ t: 'execute', token });
    await later.conversation.over;
    expect(await guest.receipts(OTHER_OP)).toMatchObject([{ state: 'REFUSED', code: 'NONCE_UNKNOWN' }]);
    expect([await guest.receipts(), guest.machine.accounts.get('root')?.changes]).toEqual(before);
  });
  test('without any executor that prepared for it', async () => {
    const guest = makeGuest();
    const { ready } = await guest.prepare();
    const { answers } = await guest.ask({ t: 'execute', token: await order(ready) });
    expect(answers[0]).toEqual({ t: 'refused', op: null, code: 'NONCE_UNKNOWN' });
    expect(guest.machine.journal).toHaveLength(0);
  });
  test('to another agent', () => refused(makeGuest(), 'AUD_MISMATCH', { command: { aud: `agt_${'0'.repeat(25)}9` } }));
  test('35 of another installation', () =>
    refused(makeGuest(), 'ISS_MISMATCH', { command: { iss: `ins_${'0'.repeat(25)}9` } }));
  test('under an expired root', () =>
    refused(makeGuest({ root: sampleRoot({ expires: NOW_S - 1 }) }), 'ROOT_EXPIRED', {}));
  test('that asks for a reroot', () =>
    refused(makeGuest(), 'REROOT_REFUSED', { command: { chroot: '/mnt' } as object }));
  test('with an unknown member', () => refused(makeGuest(), 'SCHEMA_INVALID', { command: { seq: 1 } as object }));
  test('by a signed-in session without a factor', () =>
    refused(makeGuest(), 'AUTHZ_INVALID', { command: { authz: { operator: 'ada', method: 'session', at: NOW_S } } }));
});

describe('the ledger', () => {
  test('another command for an operation that ended is OP_CONFLICT, and its receipts stay as they are', async () => {
    const guest = makeGuest();
    guest.machine.facts = { marker: 'other' };
    await refused(guest, 'ENV_REFUSED', {});
    guest.machine.facts = {};
    const before = await guest.receipts();
    const { conversation, ready } = await guest.prepare();
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    expect(conversation.answers.find(({ t }) => t === 'refused')).toEqual({
      t: 'refused',
      op: OP,
      code: 'OP_CONFLICT',
    });
    expect(await guest.receipts()).toEqual(before);
    expect(effects(guest)).toEqual([]);
  });

  test('nothing is prepared while an operation is under way', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'before', how: 'crash' });
    const { conversation, ready } = await guest.prepare();
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    const { answers } = await guest.ask({ t: 'prepare', op: OTHER_OP, account: null });
    expect(answers[0]).toEqual({ t: 'refused', op: OTHER_OP, code: 'BUSY' });
  });

  test('a command is refused where another operation began after it was prepared', async () => {
    const guest = makeGuest();
    const second = await guest.prepare(OTHER_OP);
    const first = await guest.prepare();
    guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'before', how: 'crash' });
    first.conversation.send({ t: 'execute', token: await order(first.ready) });
    await first.conversation.over;
    guest.machine.faults.calls.length = 0;
    second.conversation.send({ t: 'execute', token: await order(second.ready) });
    await second.conversation.over;
    expect(await guest.receipts(OTHER_OP)).toMatchObject([{ state: 'REFUSED', code: 'BUSY' }]);
    expect(effects(guest)).toEqual([]);
  });
});

describe('the environment', () => {
  test.each<[string, Parameters<typeof Object.assign>[0]]>([
    ['a forbidden kernel argument', { kernelCommandLine: 'ro init=/bin/sh' }],
    ['another root than that of PID 1', { rootIsInits: false }],
    ['another marker', { marker: 'other' }],
    ['a next root', { nextRoot: true }],
    ['an initramfs', { initrd: true }],
    ['facts that cannot be read', { kernelCommandLine: null }],
  ])('%s', async (_, facts) => {
    const guest = makeGuest();
    guest.machine.facts = facts;
    await refused(guest, 'ENV_REFUSED', {});
    expect((await guest.receipts())[0]?.detail.reason).toMatch(/^[a-z_]+(:[a-z.=]+)?$/);
  });
});

describe('the account', () => {
  const withRoot = (changes: object): Guest => {
    const guest = makeGuest();
    guest.machine.accounts.set('root', { uid: 0, password: drawPassword(), state: 'active', changes: 0, ...changes });
    return guest;
  };
  test('is locked', () => refused(withRoot({ state: 'locked' }), 'ACCOUNT_LOCKED', {}));
  test('has expired', () => refused(withRoot({ state: 'expired' }), 'ACCOUNT_EXPIRED', {}));
  test('has expired, with consent to unlock', () =>
    refused(withRoot({ state: 'expired' }), 'ACCOUNT_EXPIRED', { unlock: true }));
  test('does not exist', () => refused(makeGuest(), 'ACCOUNT_NOT_FOUND', { name: 'nobody-here', uid: null }));
  test('shares its uid', async () => {
    const guest = makeGuest();
    guest.machine.accounts.set('toor', { uid: 0, password: null, state: 'no_password', changes: 0 });
    await refused(guest, 'ACCOUNT_AMBIGUOUS', {});
  });
  test('has another uid than the operator saw', () => refused(makeGuest(), 'ACCOUNT_NOT_FOUND', { uid: 1 }));
});

describe('VNC', () => {
  test('several servers and none named', async () => {
    const guest = makeGuest();
    guest.machine.addVncServer({ port: 5902, sourcePath: '/home/eve/.vnc/passwd' });
    await refused(guest, 'VNC_AMBIGUOUS', {});
  });
  test('several servers in different networks that share the name that was given', async () => {
    const guest = makeGuest();
    guest.machine.addVncServer({ sourcePath: '/home/eve/.vnc/passwd' });
    await refused(guest, 'VNC_AMBIGUOUS', { server: 'tigervnc:5901' });
  });
  test('nothing but VNC to reset, and no server', () =>
    refused(makeGuest({ vnc: null }), 'VNC_ABSENT', { account: null }));
  test('nothing but VNC to reset, and another server', () =>
    refused(makeGuest(), 'VNC_ABSENT', { account: null, server: 'tigervnc:5999' }));
});

test('a machine that cannot be rebooted is refused before anything is changed', async () => {
  const guest = makeGuest();
  guest.machine.power = 'denies';
  await refused(guest, 'REBOOT_DENIED', {});
});

describe('sealed secrets', () => {
  const pw = drawPassword();
  test.each<[string, Code, Wishes['account']]>([
    ['for another key', 'UNSEAL_FAILED', { typed: pw, key: otherKey }],
    ['for another operation', 'UNSEAL_FAILED', { typed: pw, context: { op: OTHER_OP } }],
    ['for another agent', 'UNSEAL_FAILED', { typed: pw, context: { agent: `agt_${'0'.repeat(25)}9` } }],
    ['in the other direction', 'UNSEAL_FAILED', { typed: pw, context: { dir: 'to-operator' } }],
    ['for another slot', 'UNSEAL_FAILED', { typed: pw, context: { slot: 'vnc' } }],
    ['with another hash than the intent says', 'AUTHZ_INVALID', { typed: pw, sha256: 'A'.repeat(43) }],
  ])('%s', (_, code, account) => refused(makeGuest(), code, { account: account ?? null }));

  test('missing, or there although the intent says generated', async () => {
    await refused(makeGuest(), 'AUTHZ_INVALID', { account: { typed: pw }, command: { sealed: {} } });
    const sealed = `${'A'.repeat(20)}..AA.AA.AA`;
    await refused(makeGuest(), 'AUTHZ_INVALID', { command: { sealed: { account: sealed } } });
    await refused(makeGuest(), 'AUTHZ_INVALID', { vnc: null, command: { sealed: { vnc: sealed } } });
  });
  test('by another algorithm', async () => {
    const header = Buffer.from(JSON.stringify({ alg: 'dir', enc: 'A256GCM' })).toString('base64url');
    await refused(makeGuest(), 'ALG_REFUSED', { account: { typed: pw, sealed: `${header}..AAAA.AAAA.AAAA` } });
  });
});

describe('passwords', () => {
  const good = () => drawPassword(20);
  const letters = () => good().replaceAll(/[0-9]/g, 'x');
  const digits = () => Array.from(good(), (letter) => letter.charCodeAt(0) % 10).join('');
  test.each<[string, () => string]>([
    ['of 7 characters', () => `${letters().slice(0, 6)}1`],
    ['of 31 characters', () => `${drawPassword(30)}x`],
    ['of letters alone', letters],
    ['of digits alone', digits],
    ['empty', () => ''],
    ['with a newline', () => `${good()}\nx1`],
    ['with a carriage return', () => `${good()}\r`],
    ['with a NUL', () => `${good()}\0`],
    ['with a blank', () => `${good()} x`],
    ['with a delete', () => `${good()}\x7f`],
    ['with an accent', () => `${good()}é`],
    ['with a right-to-left mark', () => `${good()}\u200f`],
    ['with the account name, in any case', () => `${good()}RooT`],
    ['on the list of common ones', () => 'Common-Password-1'],
  ])('%s', async (_, make) => {
    await refused(makeGuest(), 'PASSWORD_POLICY', { account: { typed: make() } });
  });
  test('VNC: 114 with a newline, and with no digit among the 8 that count', async () => {
    await refused(makeGuest(), 'PASSWORD_POLICY', { vnc: { typed: `${good()}\nx1` } });
    await refused(makeGuest(), 'PASSWORD_POLICY', { vnc: { typed: `${letters().slice(0, 8)}1` } });
  });
  test('the VNC secret does not begin like the account password', async () => {
    const account = good();
    await refused(makeGuest(), 'PASSWORD_POLICY', { account: { typed: account }, vnc: { typed: account } });
    const vnc = account.slice(0, 8) + drawPassword(8);
    await refused(makeGuest(), 'PASSWORD_POLICY', { account: { typed: account }, vnc: { typed: vnc } });
    const [receipt] = await (async () => {
      const guest = makeGuest();
      await refused(guest, 'PASSWORD_POLICY', { account: { typed: account }, vnc: { typed: vnc } });
      return guest.receipts();
    })();
    expect(receipt?.detail.reason).toBe('same_as_account');
  });
  test('no refusal tells the password', async () => {
    const guest = makeGuest();
    const typed = `${good()} x`;
    await refused(guest, 'PASSWORD_POLICY', { account: { typed } });
    expect([...guest.log, guest.machine.journal.toString()].join('\n')).not.toContain(typed.trim().slice(0, 20));
  });
});

describe('without a root that holds', () => {
  const broken = (code: Code): Guest => {
    const fail = async () => {
      throw new Failure(code);
    };
    return makeGuest({ parts: { roots: { newest: fail, add: fail } } });
  };
  const codes = fc.constantFrom<Code[]>('ROOT_INVALID', 'ROOT_THRESHOLD', 'ROOT_ROLLBACK', 'ISS_MISMATCH');
  const kind = fc.constantFrom('generated' as const, null);
  const wishes = fc.record({ account: kind, vnc: kind, unlock: fc.boolean(), graceS: fc.constantFrom(0, 60) });

  test('nothing is done, whatever is asked for', async () => {
    await fc.assert(
      fc.asyncProperty(codes, wishes, async (code, wished) => {
        fc.pre(wished.account !== null || wished.vnc !== null);
        const guest = broken(code);
        await refused(guest, code, wished);
        for (const request of [
          { t: 'cancel', token: await order({ ...(await guest.prepare(OTHER_OP)).ready }) },
          { t: 'ack', token: await ackOf(OP, 1) },
          { t: 'root', document: {} },
          { t: 'receipts' },
        ]) {
          await guest.ask(request);
          expect(effects(guest)).toEqual([]);
        }
        expect(await guest.unacknowledged()).toEqual([1]);
      }),
      { numRuns: 25 },
    );
  });
});
