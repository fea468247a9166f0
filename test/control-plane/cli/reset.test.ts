// The reset as a program drives it, against a control plane that plays a script and may cheat.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ResetRequest, ResetSummary } from '../../../control-plane/cli/reset/request.ts';
import { follow, runReset } from '../../../control-plane/cli/reset/reset.ts';
import { inForce, openSecrets } from '../../../control-plane/cli/reset/secrets.ts';
import { intentBytes } from '../../../protocol/intent.ts';
import { fromBase64url, publicKey, sha256 } from '../../../protocol/keys.ts';
import { Secret } from '../../../protocol/secret.ts';
import { expectRefused } from '../../protocol/refusal.ts';
import { AGENT, keys, OP } from '../../protocol/samples.ts';
import { ACCOUNT_RESET, observer, scene, TYPED_RESET, vncauth } from './scene.ts';
import { AFTER, otherEk, scripts } from './scripted-machine.ts';
import { GENERATED } from './scripted-server.ts';

const VNC_RESET: ResetRequest = { vm: 'web-1', vnc: { server: null, mode: 'generated', restart: false }, graceS: 0 };

describe('the way to the end', () => {
  test('a reset ends DONE, and what was generated opens here and nowhere else', async () => {
    const { client } = await scene();
    const { end, operation } = await runReset(client, ACCOUNT_RESET, observer());
    expect(end).toBe('ended');
    expect(operation).toMatchObject({ state: 'DONE', boot_after: AFTER });
    expect((await openSecrets(client, operation)).account?.reveal()).toBe(GENERATED.account);
    expect(await openSecrets({ ...client, stateFolder: `${client.stateFolder}-of-another` }, operation)).toEqual({});
  });

  test('the recipient key is private to its user and is stored before the intent is asked for', async () => {
    const { client, server } = await scene();
    const path = join(client.stateFolder, 'recipients', `${OP}.json`);
    let mode = 0;
    server.script.alterIntent = (intent) => {
      mode = statSync(path).mode & 0o777;
      return intent;
    };
    await runReset(client, ACCOUNT_RESET, observer());
    expect(mode).toBe(0o600);
    expect(statSync(join(client.stateFolder, 'recipients')).mode & 0o777).toBe(0o700);
  });

  test('a key proof signs the hash of the very intent', async () => {
    const { client, server } = await scene();
    let bytes = new Uint8Array();
    server.script.alterIntent = (intent) => {
      bytes = Uint8Array.from(intentBytes(intent));
      return intent;
    };
    await runReset(client, ACCOUNT_RESET, observer());
    const proof = server.seen.submits[0];
    if (proof?.method !== 'key') throw new TypeError('no key proof');
    const key = await publicKey(keys.spare.jwk);
    const hash = Uint8Array.from(await sha256(bytes));
    expect(await crypto.subtle.verify('Ed25519', key, Uint8Array.from(fromBase64url(proof.sig)), hash)).toBe(true);
    expect(proof.kid).toBe(keys.spare.kid);
  });

  test('an offline machine gets a queued operation with a generated password', async () => {
    const { client, server } = await scene({ online: false });
    let summary: ResetSummary | undefined;
    const { operation } = await runReset(
      client,
      ACCOUNT_RESET,
      observer({
        confirm: async (shown) => {
          summary = shown;
          return true;
        },
      }),
    );
    expect(summary).toMatchObject({ online: false, ready: null });
    expect(operation.state).toBe('DONE');
    expect(server.seen.submits).toHaveLength(1);
  });

  test('a detached reset ends with its approval and keeps the key', async () => {
    const { client } = await scene();
    expect(await runReset(client, { ...ACCOUNT_RESET, detach: true }, observer())).toMatchObject({ end: 'detached' });
    expect(existsSync(join(client.stateFolder, 'recipients', `${OP}.json`))).toBe(true);
  });

  test('a lost answer to a submission is looked up and never sent twice', async () => {
    const { client, server } = await scene({ loseAnswer: true });
    expect((await runReset(client, ACCOUNT_RESET, observer())).operation.state).toBe('DONE');
    expect(server.seen.submits).toHaveLength(1);
  });
});

describe('the executor’s key', () => {
  test('is remembered at first sight, and another one for the same agent is refused before anything is created', async () => {
    const { client, server } = await scene();
    await runReset(client, ACCOUNT_RESET, observer());
    expect(readdirSync(join(client.stateFolder, 'agents'))).toEqual([`${AGENT}.json`]);
    server.script.ek = otherEk;
    server.script.signer = otherEk;
    const requests = server.seen.requests.length;
    await expectRefused('CLONE_SUSPECTED', () => runReset(client, ACCOUNT_RESET, observer()));
    expect(server.seen.requests.slice(requests)).not.toContain('POST /v1/operations');
  });

  test('must have signed ready', async () => {
    const { client, server } = await scene({ signer: otherEk });
    await expectRefused('KID_UNKNOWN', () => runReset(client, ACCOUNT_RESET, observer()));
    expect(server.seen.submits).toEqual([]);
  });
});

describe('what is refused before anyone is asked to confirm', () => {
  const refusals = [
    ['ACCOUNT_LOCKED', { account: { name: 'root', uid: 0, state: 'locked' } }, ACCOUNT_RESET],
    ['ACCOUNT_EXPIRED', { account: { name: 'root', uid: 0, state: 'expired' } }, ACCOUNT_RESET],
    ['ACCOUNT_AMBIGUOUS', { account: null, accountCode: 'ACCOUNT_AMBIGUOUS' }, ACCOUNT_RESET],
    ['AGENT_OFFLINE', { online: false }, TYPED_RESET],
    ['VNC_ABSENT', {}, VNC_RESET],
    ['NOT_FOUND', {}, { ...ACCOUNT_RESET, vm: 'web-2' }],
  ] as const;

  test.each(refusals)('%s', async (code, script, request) => {
    const { client, server } = await scene(script);
    const confirm = () => expect.fail('asked');
    await expectRefused(code, () => runReset(client, request, observer({ confirm })));
    expect(server.seen.submits).toEqual([]);
  });

  test('but a locked account that shall be unlocked goes on', async () => {
    const { client } = await scene({ account: { name: 'root', uid: 0, state: 'locked' } });
    const request = { ...ACCOUNT_RESET, account: { name: null, mode: 'generated', unlock: true } } as const;
    expect((await runReset(client, request, observer())).operation.state).toBe('DONE');
  });
});

describe('a no', () => {
  test('cancels the draft and leaves no key behind', async () => {
    const { client, server } = await scene();
    await expectRefused('CANCELLED', () => runReset(client, ACCOUNT_RESET, observer({ confirm: async () => false })));
    expect(server.seen).toMatchObject({ cancelled: 1, submits: [] });
    expect(existsSync(join(client.stateFolder, 'recipients', `${OP}.json`))).toBe(false);
  });
});

describe('a typed password', () => {
  test('reaches the machine sealed and the server not at all', async () => {
    const { client, server } = await scene({ vnc: [vncauth] });
    const request: ResetRequest = { ...TYPED_RESET, vnc: { server: null, mode: 'typed', restart: false } };
    const typed = { account: 'chosen:Pass9', vnc: 'chosen2Vnc' };
    const typedSecret = async (slot: 'account' | 'vnc') => Secret.ofText(typed[slot]);
    await runReset(client, request, observer({ typedSecret }));
    expect(server.seen.typed).toEqual(typed);
    expect(JSON.stringify(server.seen.bodies)).not.toMatch(/chosen/);
  });

  test.each([
    ['account', 'short1A'],
    ['account', 'lettersOnly'],
    ['account', '1234567890'],
    ['account', 'my-root-word-1'],
    ['account', 'with blank 1'],
  ] as const)('that breaks the rule is never sealed (%s: %s)', async (_, text) => {
    const { client, server } = await scene();
    const typedSecret = async () => Secret.ofText(text);
    await expectRefused('PASSWORD_POLICY', () => runReset(client, TYPED_RESET, observer({ typedSecret })));
    expect(server.seen.requests).not.toContain('POST /v1/operations/:op/intent');
  });

  test('for VncAuth needs its letter and digit among the first eight', async () => {
    const { client } = await scene({ vnc: [vncauth] });
    const request: ResetRequest = { ...VNC_RESET, vnc: { server: null, mode: 'typed', restart: false } };
    const typedSecret = async () => Secret.ofText('lettersAnd1');
    await expectRefused('PASSWORD_POLICY', () => runReset(client, request, observer({ typedSecret })));
  });

  test('must not be the same for account and VNC as far as the server reads', async () => {
    const { client } = await scene({ vnc: [vncauth] });
    const request: ResetRequest = { ...TYPED_RESET, vnc: { server: null, mode: 'typed', restart: false } };
    const typedSecret = async (slot: 'account' | 'vnc') =>
      Secret.ofText(slot === 'vnc' ? 'Same4all' : 'Same4all-and-more');
    await expectRefused('VNC_SHARES_ACCOUNT_PASSWORD', () => runReset(client, request, observer({ typedSecret })));
  });
});

describe('the proof', () => {
  test('is asked for again after a wrong code, and no more than five times', async () => {
    const { client, server } = await scene({ refusals: Array.from({ length: 9 }, () => 'FACTOR_REFUSED' as const) });
    const attempts: number[] = [];
    const proving = observer({
      retryProof: true,
      prove: async ({ attempt }) => {
        attempts.push(attempt);
        return { method: 'totp', code: '000000' };
      },
    });
    await expectRefused('FACTOR_REFUSED', () => runReset(client, ACCOUNT_RESET, proving));
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    expect(server.seen.cancelled).toBe(1);
  });

  test('of an operator without a factor is said at once', async () => {
    const { client } = await scene({ methods: [] });
    await expectRefused('FACTOR_UNKNOWN', () => runReset(client, ACCOUNT_RESET, observer()));
  });
});

describe('watching', () => {
  test('goes on where it was after the streams were cut, and misses no state', async () => {
    const { client, server } = await scene({ beats: [...scripts.DONE.slice(0, 2), { cut: true }] });
    const watched = observer();
    const running = runReset(client, ACCOUNT_RESET, watched);
    const resumed = () => server.seen.lastEventIds.filter((id) => id !== null);
    await expect.poll(resumed, { timeout: 10_000 }).toHaveLength(1);
    await server.play(scripts.DONE.slice(2));
    expect((await running).operation.state).toBe('DONE');
    expect(Number(resumed()[0])).toBeGreaterThan(0);
    const { receipts = [] } = server.operation() ?? {};
    const last = watched.events.findLast(({ event }) => event === 'progress');
    expect(last).toMatchObject({ operation: { receipts } });
  });

  test('survives a restart of the control plane', async () => {
    const { client, server } = await scene({ beats: scripts.DONE.slice(0, 4) });
    const watched = observer();
    let restarted: Promise<void> | undefined;
    const running = runReset(client, ACCOUNT_RESET, {
      ...watched,
      onEvent(event) {
        watched.onEvent(event);
        if (event.event !== 'progress' || event.operation.state !== 'PASSWORD_SET' || restarted) return;
        restarted = server.restart().then(() => server.play(scripts.DONE.slice(4)));
      },
    });
    expect((await running).operation.state).toBe('DONE');
    await restarted;
    expect(watched.events.some(({ event }) => event === 'unreachable')).toBe(true);
    expect(watched.events.some(({ event }) => event === 'reachable')).toBe(true);
  });

  test('ends when the machine is overdue, and goes on where that was asked for', async () => {
    const beats = [...scripts.DONE.slice(0, 5), { overdue: true }];
    const { client, server } = await scene({ beats });
    const first = await runReset(client, ACCOUNT_RESET, observer());
    expect(first.end).toBe('overdue');
    void server.play([{ state: 'BOOTED', overdue: false }, ...scripts.DONE.slice(6)]);
    const second = await follow(client, first.operation, { request: { waitWhileOverdue: true }, observer: observer() });
    expect(second).toMatchObject({ end: 'ended', operation: { state: 'DONE' } });
  });

  test('ends with the caller’s patience, and the operation goes on', async () => {
    const { client, server } = await scene({ beats: scripts.DONE.slice(0, 2) });
    expect(await runReset(client, { ...ACCOUNT_RESET, timeoutMs: 300 }, observer())).toMatchObject({ end: 'timeout' });
    expect(server.seen.cancelled).toBe(0);
  });

  test('ends at the caller’s signal, and the operation goes on', async () => {
    const { client, server } = await scene({ beats: scripts.DONE.slice(0, 2) });
    const controller = new AbortController();
    const watched = observer({ onEvent: ({ event }) => event === 'progress' && controller.abort() });
    const outcome = await runReset(client, { ...ACCOUNT_RESET, signal: controller.signal }, watched);
    expect(outcome.end).toBe('interrupted');
    expect(server.seen.cancelled).toBe(0);
  });
});

describe('whether a password is in force', () => {
  test.each([
    ['DONE', 'yes'],
    ['PARTIAL', 'yes'],
    ['FAILED', 'no'],
    ['INTERRUPTED', 'no'],
    ['CANCELLED', 'no'],
    ['REFUSED', 'no'],
    ['EXPIRED', 'no'],
  ] as const)('after %s: %s', async (state, expected) => {
    const { client } = await scene({ beats: scripts[state] });
    const { operation } = await runReset(client, ACCOUNT_RESET, observer());
    expect(operation.state).toBe(state);
    expect(inForce(operation, 'account')).toBe(expected);
  });

  test('is unknown where the machine fell silent before it said so', async () => {
    const { client } = await scene({
      beats: [...scripts.DONE.slice(0, 3), { state: 'EXPIRED', code: 'AGENT_SILENT' }],
    });
    const { operation } = await runReset(client, ACCOUNT_RESET, observer());
    expect(inForce(operation, 'account')).toBe('unknown');
  });

  test('is unknown where the new password could not be proven', async () => {
    const { client } = await scene({
      beats: [...scripts.DONE.slice(0, 3), { state: 'FAILED', code: 'VERIFY_FAILED' }],
    });
    const { operation } = await runReset(client, ACCOUNT_RESET, observer());
    expect(inForce(operation, 'account')).toBe('unknown');
  });
});
