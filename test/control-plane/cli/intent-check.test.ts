// The comparison of the intent with what was asked: whatever the control plane changes, nothing is proven.

import { describe, expect, test } from 'vitest';
import type { ResetRequest } from '../../../control-plane/cli/reset/request.ts';
import { runReset } from '../../../control-plane/cli/reset/reset.ts';
import { type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import { sha256Text, toBase64url } from '../../../protocol/keys.ts';
import { codeFrom, expectRefused } from '../../protocol/refusal.ts';
import { bytes32Text, otherSeal } from '../../protocol/samples.ts';
import { ACCOUNT_RESET, observer, scene, TYPED_RESET, vncauth } from './scene.ts';

describe('an intent that is not what was asked', () => {
  const both: ResetRequest = { ...ACCOUNT_RESET, vnc: { server: vncauth.server, mode: 'generated', restart: false } };
  const account = ({ account: part }: ResetIntent) => part ?? expect.fail('no account');
  const vnc = ({ vnc: part }: ResetIntent) => part ?? expect.fail('no vnc');
  const otherRecipient = { mode: 'generated', recipient_jwk: otherSeal.jwk } as const;
  const typed = { mode: 'typed', sealed_sha256: bytes32Text(0x51) } as const;

  const changes: Readonly<Record<string, (intent: ResetIntent) => ResetIntent>> = {
    op: (intent) => ({ ...intent, op: `op_${'0'.repeat(25)}9` }),
    agent: (intent) => ({ ...intent, agent: `agt_${'0'.repeat(25)}9` }),
    project: (intent) => ({ ...intent, project: 'other' }),
    operator: (intent) => ({ ...intent, operator: 'mallory' }),
    not_after: (intent) => ({ ...intent, not_after: intent.not_after + 3_600 }),
    'no account': ({ account: _, ...intent }) => intent,
    'no vnc': ({ vnc: _, ...intent }) => intent,
    'account.name': (intent) => ({ ...intent, account: { ...account(intent), name: 'bob' } }),
    'account.uid': (intent) => ({ ...intent, account: { ...account(intent), uid: 1_000 } }),
    'account.uid null': (intent) => ({ ...intent, account: { ...account(intent), uid: null } }),
    'account.unlock': (intent) => ({ ...intent, account: { ...account(intent), unlock: true } }),
    'account.secret recipient': (intent) => ({ ...intent, account: { ...account(intent), secret: otherRecipient } }),
    'account.secret mode': (intent) => ({ ...intent, account: { ...account(intent), secret: typed } }),
    'vnc.server': (intent) => ({ ...intent, vnc: { ...vnc(intent), server: 'x11vnc:5900' } }),
    'vnc.server null': (intent) => ({ ...intent, vnc: { ...vnc(intent), server: null } }),
    'vnc.restart': (intent) => ({ ...intent, vnc: { ...vnc(intent), restart: true } }),
    'vnc.secret recipient': (intent) => ({ ...intent, vnc: { ...vnc(intent), secret: otherRecipient } }),
    'vnc.secret mode': (intent) => ({ ...intent, vnc: { ...vnc(intent), secret: typed } }),
    'reboot.grace_s': (intent) => ({ ...intent, reboot: { kind: 'normal', grace_s: 60 } }),
    not_before: (intent) => ({ ...intent, not_before: intent.not_after - 60 }),
  };

  test.each(Object.keys(changes))('is never proven: %s', async (field) => {
    const { client, server } = await scene({ vnc: [vncauth], alterIntent: changes[field] ?? expect.fail(field) });
    await expectRefused('AUTHZ_INVALID', () => runReset(client, both, observer()));
    expect(server.seen.submits).toEqual([]);
    expect(server.seen.cancelled).toBe(1);
  });

  test('is never proven: another window than was asked for, or none', async () => {
    const notBeforeS = Math.floor(Date.now() / 1_000) + 3_600;
    for (const not_before of [notBeforeS - 1, undefined]) {
      const alterIntent = ({ not_before: _, ...intent }: ResetIntent) =>
        not_before === undefined ? intent : { ...intent, not_before };
      const { client, server } = await scene({ vnc: [vncauth], alterIntent });
      await expectRefused('AUTHZ_INVALID', () => runReset(client, { ...both, validS: 7_200, notBeforeS }, observer()));
      expect(server.seen.submits).toEqual([]);
    }
  });

  test('is never proven: a part that nobody asked for', async () => {
    const secret = { mode: 'generated', recipient_jwk: otherSeal.jwk } as const;
    const { client, server } = await scene({
      alterIntent: (intent) => ({ ...intent, vnc: { server: null, secret, restart: false } }),
    });
    await expectRefused('AUTHZ_INVALID', () => runReset(client, ACCOUNT_RESET, observer()));
    expect(server.seen.submits).toEqual([]);
  });

  test('is never proven: a cancel in the place of a reset', async () => {
    const { client, server } = await scene({
      alterResponse: (response) => {
        const { account: _, vnc: __, reboot: ___, ...rest } = readIntent(response.intent) as ResetIntent;
        return {
          ...response,
          intent: toBase64url(new TextEncoder().encode(JSON.stringify({ ...rest, act: 'cancel' }))),
        };
      },
    });
    await expectRefused('AUTHZ_INVALID', () => runReset(client, ACCOUNT_RESET, observer()));
    expect(server.seen.submits).toEqual([]);
  });

  test('is never proven: another sealed password', async () => {
    const { client, server } = await scene({
      alterIntent: (intent) => ({ ...intent, account: { ...account(intent), secret: typed } }),
    });
    await expectRefused('AUTHZ_INVALID', () => runReset(client, TYPED_RESET, observer()));
    expect(server.seen.submits).toEqual([]);
  });

  test('is never proven: a hash of other bytes', async () => {
    const hash = await sha256Text('other');
    const { client, server } = await scene({ alterResponse: (response) => ({ ...response, intent_hash: hash }) });
    await expectRefused('AUTHZ_INVALID', () => runReset(client, ACCOUNT_RESET, observer()));
    expect(server.seen.submits).toEqual([]);
  });

  test('is never proven: another method than online', async () => {
    const { client, server } = await scene({
      alterResponse: (response) => {
        const text = JSON.stringify({ ...readIntent(response.intent), method: 'offline' });
        return { ...response, intent: toBase64url(new TextEncoder().encode(text)) };
      },
    });
    expect(['AUTHZ_INVALID', 'SCHEMA_INVALID']).toContain(
      await codeFrom(() => runReset(client, ACCOUNT_RESET, observer())),
    );
    expect(server.seen.submits).toEqual([]);
  });
});
