// First passwords, and resets with a window: proven before there is anything to sign for, and signed for exactly what was proven.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type InitialiseIntent, readIntent } from '../../../protocol/intent.ts';
import { sealingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { newId } from '../../../protocol/schema.ts';
import { type Built, Desk, enrolled, kernel, refusal, signedReady } from './desk.ts';

const HOUR_S = 3_600;
const AWAITED = newId('agt', kernel);
const join_sha256 = toBase64url(kernel(32));

let desk: Desk;
let prove: Awaited<ReturnType<Desk['key']>>;
beforeEach(async () => {
  desk = await Desk.open();
  prove = await desk.key();
});
afterEach(() => desk.end());

type Change = Readonly<{ join_sha256?: string; not_before?: number; agent?: string }>;

async function build(change: Change = { join_sha256 }): Promise<Built> {
  const secret = { mode: 'generated' as const, recipient_jwk: (await sealingKeyFromSeed(kernel(32))).jwk };
  const op = newId('op', kernel);
  const built = await desk.ask('intent.build', {
    op,
    project: 'default',
    agent: AWAITED,
    operator: 'ada',
    account: { name: 'ops', uid: null, unlock: false, secret },
    vnc: { server: null, restart: true, secret: change.join_sha256 === undefined ? secret : 'same' },
    grace_s: 0,
    valid_s: 2 * HOUR_S,
    ...change,
  });
  return { op, ...built };
}
const proven = async (built: Built) => {
  await desk.prove(built, await prove(built.intent_hash));
  return built;
};
const mint = async ({ op, intent_hash }: Built) =>
  desk.ask('command.mint', {
    op,
    intent_hash,
    ready: await signedReady(op, desk.ek, { agent: AWAITED }),
    sealed: null,
    previous: 'never_sent',
  });
const joins = async (join?: string) => {
  const machine = await enrolled(desk.ek, AWAITED);
  await desk.ask('audit.take', { items: [join === undefined ? machine : { ...machine, join_sha256: join }] });
};

describe('first passwords', () => {
  test('are signed for the machine that enrolled with the token that was proven', async () => {
    const built = await proven(await build());
    expect(readIntent(built.intent)).toMatchObject({
      act: 'initialise',
      agent: AWAITED,
      join_sha256,
      vnc: { secret: 'same' },
    });
    await joins(join_sha256);
    expect(await refusal(mint(built))).toBeNull();
    expect(desk.audit('machine.enrolled').at(-1)).toMatchObject({ agent: AWAITED, join_sha256 });
  });

  test('are signed for no machine before one has enrolled', async () => {
    expect(await refusal(mint(await proven(await build())))).toBe('NOT_ENROLLED');
  });

  test.each([
    ['another token', toBase64url(kernel(32))],
    ['a token that nobody told of', undefined],
  ])('are not signed for a machine that enrolled with %s', async (_, join) => {
    const built = await proven(await build());
    await joins(join);
    await expect(mint(built)).rejects.toMatchObject({ code: 'AUTHZ_INVALID', details: { reason: 'join_token' } });
    expect(desk.audit('command.signed')).toEqual([]);
  });

  test('are not signed without a proof, nor after the end that was proven', async () => {
    await joins(join_sha256);
    expect(await refusal(mint(await build()))).toBe('AUTHZ_INVALID');
    const late = await proven(await build());
    desk.nowMs += (2 * HOUR_S + 1) * 1000;
    expect(await refusal(mint(late))).toBe('EXPIRED');
    expect(desk.audit('command.signed')).toEqual([]);
  });

  test('one proof is for one intent: the token of another machine is another one', async () => {
    const { op, intent_hash } = await build();
    const other = await build({ join_sha256: toBase64url(kernel(32)) });
    expect(await refusal(desk.prove({ op, intent_hash }, await prove(other.intent_hash)))).toBe('AUTHZ_INVALID');
  });

  test('a reset has no password that is the same as another', async () => {
    const intent = readIntent((await build()).intent) as InitialiseIntent;
    const account = { ...intent.account, uid: null };
    const asked = {
      op: newId('op', kernel),
      project: 'default',
      agent: AWAITED,
      operator: 'ada',
      grace_s: 0,
      valid_s: 900,
    };
    const vnc = { server: null, restart: true, secret: 'same' as const };
    expect(await refusal(desk.ask('intent.build', { ...asked, account, vnc }))).toBe('SCHEMA_INVALID');
  });

  test('a letter says that they are the first ones', async () => {
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    await desk.mail(await build());
    expect(desk.letters.at(-1)?.text).toContain('is given the password of ops and the VNC password on web-1');
    expect(desk.letters.at(-1)?.subject).toBe('Latchkey: code for the first passwords of web-1');
  });
});

describe('a reset with a window', () => {
  const opensIn = (s: number) => ({ not_before: Math.floor(desk.nowMs / 1000) + s });

  test('is not signed before it opens, and after that is', async () => {
    await joins();
    const built = await proven(await build(opensIn(HOUR_S)));
    expect(await refusal(mint(built))).toBe('NOT_YET_VALID');
    expect(desk.audit('command.signed')).toEqual([]);
    desk.nowMs += HOUR_S * 1000;
    expect(await refusal(mint(built))).toBeNull();
  });

  test('that never opens is no intent', async () => {
    expect(await refusal(build(opensIn(2 * HOUR_S)))).toBe('SCHEMA_INVALID');
  });

  test('another window is another intent: what was proven for the one is not signed for the other', async () => {
    await joins();
    const built = await proven(await build(opensIn(HOUR_S)));
    await expect(
      desk.ask('intent.build', {
        op: built.op,
        project: 'default',
        agent: AWAITED,
        operator: 'ada',
        account: {
          name: 'ops',
          uid: null,
          unlock: false,
          secret: { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(kernel(32))).jwk },
        },
        grace_s: 0,
        valid_s: 2 * HOUR_S,
        ...opensIn(0),
      }),
    ).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
    expect(await refusal(mint(built))).toBe('NOT_YET_VALID');
  });
});
