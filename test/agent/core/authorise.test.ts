// Authorising: what a correctly signed command must still say before anything looks at the machine, and in which order it is
// asked.

import { describe, expect, test } from 'vitest';
import { type Addressee, authoriseCancel, authoriseWork, type CarriedIntent } from '../../../agent/core/authorise.ts';
import type { JsonValue } from '../../../protocol/canonical.ts';
import type { Code } from '../../../protocol/codes.ts';
import type { Command } from '../../../protocol/command.ts';
import { type Intent, intentBytes } from '../../../protocol/intent.ts';
import { sha256Text, toBase64url } from '../../../protocol/keys.ts';
import { INTENT_TTL_S_MAX } from '../../../protocol/limits.ts';
import { rerootMembers, rerootMethods, rerootReboots } from '../../../protocol/reroot.ts';
import { roleKeys } from '../../../protocol/root.ts';
import { signToken, verifyToken } from '../../../protocol/token.ts';
import { expectRefused } from '../../protocol/refusal.ts';
import {
  AGENT,
  bytes32Text,
  INSTALLATION,
  keys,
  NOW_S,
  OP,
  sampleBulk,
  sampleCommand,
  sampleInitialise,
  sampleIntent,
  sampleRoot,
} from '../../protocol/samples.ts';

const root = sampleRoot();
const addressee: Addressee = { agent: AGENT, project: 'default', root, op: OP, cn: bytes32Text(0x60), expired: false };
const OTHER_OP = `op_${'0'.repeat(25)}9`;
const OTHER_AGENT = `agt_${'0'.repeat(25)}9`;

type Loose = { [key: string]: JsonValue };
const asLoose = (value: unknown): Loose => JSON.parse(JSON.stringify(value)) as Loose;
const bytesOf = (value: unknown) => toBase64url(new TextEncoder().encode(JSON.stringify(value)));
/** A command whose intent is written as given, whatever it is. */
const withIntent = (intent: unknown): Loose => ({ ...asLoose(sampleCommand()), intent: bytesOf(intent) });

/** Signs the payload with the command key, as `signer` would, and authorises what was verified. */
async function authorised(payload: object, to: Addressee = addressee) {
  const token = await signToken('lk-command+jws', payload, keys.command);
  return authoriseWork(await verifyToken(token, 'lk-command+jws', roleKeys(to.root, 'command', null)), to);
}
const refused = (code: Code, payload: object, to?: Addressee) => expectRefused(code, () => authorised(payload, to));

const cancelIntent: Intent = {
  v: 1,
  op: OP,
  project: 'default',
  agent: AGENT,
  method: 'online',
  operator: 'ada',
  nonce: bytes32Text(0x50),
  not_after: NOW_S + 900,
  act: 'cancel',
};

test('a good command is an order with the intent that was proven', async () => {
  const { command, intent } = await authorised(sampleCommand());
  expect(command).toEqual(sampleCommand());
  expect(intent).toEqual(sampleIntent());
});

describe('to whom and from whom', () => {
  test('another agent', () => refused('AUD_MISMATCH', { ...sampleCommand(), aud: OTHER_AGENT }));
  test('another installation', () => refused('ISS_MISMATCH', { ...sampleCommand(), iss: `ins_${'0'.repeat(25)}9` }));
  test('another version', async () => {
    for (const v of [0, 2, '1', null]) await refused('VERSION_UNSUPPORTED', { ...sampleCommand(), v });
  });
  test('a payload that is no object', async () => {
    for (const payload of [[], [1], 'text' as unknown as object]) await refused('SCHEMA_INVALID', payload);
  });
});

describe('first passwords', () => {
  const intent = sampleInitialise();
  const joined = { ...addressee, joinSha256: intent.join_sha256 };

  test('are for the machine that enrolled with the token that was proven', async () => {
    expect((await authorised(sampleCommand(intent), joined)).intent).toEqual(intent);
    for (const joinSha256 of [bytes32Text(0x53), undefined]) {
      const error = await authorised(sampleCommand(intent), { ...addressee, joinSha256 }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'AUTHZ_INVALID', details: { reason: 'join_token' } });
    }
  });
  test('need a factor', () =>
    refused(
      'AUTHZ_INVALID',
      { ...sampleCommand(intent), authz: { operator: 'ada', method: 'session', at: NOW_S } },
      joined,
    ));
  test.each<[string, object]>([
    ['many machines', { targets: [AGENT] }],
    [
      'a typed password',
      { account: { ...intent.account, secret: { mode: 'typed', sealed_sha256: bytes32Text(0x51) } } },
    ],
    ['a uid', { account: { ...intent.account, uid: 0 } }],
    ['no account', { account: undefined }],
    ['a VNC password that is something else', { vnc: { ...intent.vnc, secret: 'other' } }],
    ['no token', { join_sha256: undefined }],
  ])('%s is no part of it', (_, change) => refused('SCHEMA_INVALID', withIntent({ ...intent, ...change }), joined));
});

describe('root and key at the time of the command', () => {
  const at = (iat: number) => ({ ...sampleCommand(), iat, exp: iat + 60 });
  test('a command key past its end', async () => {
    const end = root.keys[keys.command.kid]?.expires ?? 0;
    await expect(
      authorised({ ...at(end), intent: toBase64url(intentBytes({ ...sampleIntent(), not_after: end })) }),
    ).resolves.toBeTruthy();
    await refused('KEY_EXPIRED', at(end + 1));
  });
  test('an expired root, before the key is asked', async () => {
    const old = { ...addressee, root: sampleRoot({ expires: NOW_S - 1 }) };
    await refused('ROOT_EXPIRED', sampleCommand(), old);
    await refused('ROOT_EXPIRED', at((root.keys[keys.command.kid]?.expires ?? 0) + 1), old);
  });
  test('a key that the root gives to another role', async () => {
    const token = await signToken('lk-command+jws', sampleCommand(), keys.session);
    await expectRefused('KID_UNKNOWN', () => verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', null)));
  });
  test('an iat that is no number', async () => {
    for (const iat of ['1', null, [], {}]) {
      await refused('SCHEMA_INVALID', { ...sampleCommand(), iat });
      // Before anything is judged by it, or after it.
      await refused('SCHEMA_INVALID', { ...sampleCommand(), iat, chroot: '/mnt' });
    }
  });
});

describe('time', () => {
  test('a command that is good for more than 120 seconds, or for none', async () => {
    await refused('SCHEMA_INVALID', { ...sampleCommand(), exp: NOW_S + 121 });
    await refused('SCHEMA_INVALID', { ...sampleCommand(), exp: NOW_S });
    await refused('SCHEMA_INVALID', { ...sampleCommand(), exp: NOW_S - 1 });
  });
  test('an intent past its end when the command was signed', async () => {
    const ended = (not_after: number) => sampleCommand({ ...sampleIntent(), not_after });
    await refused('EXPIRED', ended(NOW_S - 1));
    await expect(authorised(ended(NOW_S))).resolves.toBeTruthy();
  });
  test('an intent that lives longer than a day from the command', async () => {
    const ahead = (not_after: number) => sampleCommand({ ...sampleIntent(), not_after });
    await refused('SCHEMA_INVALID', ahead(NOW_S + INTENT_TTL_S_MAX + 1));
    await expect(authorised(ahead(NOW_S + INTENT_TTL_S_MAX))).resolves.toBeTruthy();
  });
  test('a reset before its time', async () => {
    const from = (not_before: number) => sampleCommand({ ...sampleIntent(), not_before });
    await refused('NOT_YET_VALID', from(NOW_S + 1));
    await expect(authorised(from(NOW_S))).resolves.toBeTruthy();
  });
  test('a window that never opens', () =>
    refused('SCHEMA_INVALID', withIntent({ ...sampleIntent(), not_before: sampleIntent().not_after })));
  test('a nonce past its time to live', () =>
    refused('NONCE_UNKNOWN', sampleCommand(), { ...addressee, expired: true }));
  test('another nonce, or the nonce of another operation', async () => {
    await refused('NONCE_UNKNOWN', { ...sampleCommand(), cn: bytes32Text(0x70) });
    await refused('NONCE_UNKNOWN', sampleCommand({ ...sampleIntent(), op: OTHER_OP }), { ...addressee, op: OTHER_OP });
  });
});

describe('schema', () => {
  test.each<[string, object]>([
    ['an unknown member', { seq: 1 }],
    ['an unknown member of authz', { authz: { ...sampleCommand().authz, role: 'x' } }],
    ['constructor', { constructor: 1 }],
    ['prototype', { prototype: {} }],
    ['an array for an object', { authz: [] }],
    ['a number as text', { exp: String(NOW_S + 60) }],
    ['an operation id with a path', { op: '../../x' }],
    ['an unknown method of proof', { authz: { ...sampleCommand().authz, method: 'none' } }],
    ['a root version of zero', { root_ver: 0 }],
    ['a fraction of a second', { exp: NOW_S + 0.5 }],
  ])('%s', (_, changes) => refused('SCHEMA_INVALID', { ...sampleCommand(), ...changes }));

  test('__proto__ at each level', async () => {
    const within = (value: object) => JSON.parse(JSON.stringify(value).replace('{', '{"__proto__":{"x":1},')) as object;
    await refused('SCHEMA_INVALID', within(sampleCommand()));
    await refused('SCHEMA_INVALID', { ...sampleCommand(), authz: within(sampleCommand().authz) });
    await refused('SCHEMA_INVALID', withIntent(within(sampleIntent())));
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test('an unknown member of the intent, at each level', async () => {
    const intent = sampleIntent();
    for (const changed of [
      { ...intent, path: 'x' },
      { ...intent, account: { ...intent.account, home: 'x' } },
      { ...intent, vnc: { ...intent.vnc, home: 'x' } },
      { ...intent, reboot: { ...intent.reboot, force: true } },
    ])
      await refused('SCHEMA_INVALID', withIntent(changed));
  });

  test('an intent that is not canonical, and one that is no JSON at all', async () => {
    const text = JSON.stringify(sampleIntent());
    const spelt = (changed: string) => ({ ...sampleCommand(), intent: toBase64url(new TextEncoder().encode(changed)) });
    await refused('NONCANONICAL', spelt(`${text} `));
    await refused('NONCANONICAL', spelt(text.replace('"v":1', '"v":1,"v":1')));
    await refused('NONCANONICAL', spelt(text.replace('"grace_s":0', '"grace_s":-0')));
    await refused('NONCANONICAL', spelt(text.replace(String(NOW_S + 900), '9007199254740993')));
    await refused('NONCANONICAL', spelt('{'));
    await refused('TOKEN_MALFORMED', { ...sampleCommand(), intent: '!' });
  });

  test('account names that could be read as something else', async () => {
    const intent = sampleIntent();
    for (const name of [
      '-R',
      '--root',
      '-',
      '.',
      '..',
      '../x',
      'a:b',
      'a b',
      'a\n',
      '1000',
      'a'.repeat(33),
      '',
      'r\u043eot',
      'toor\0',
    ]) {
      await refused('SCHEMA_INVALID', withIntent({ ...intent, account: { ...intent.account, name } }));
    }
  });

  test('an intent that resets nothing', async () => {
    const { account: _, vnc: __, ...nothing } = sampleIntent();
    await refused('SCHEMA_INVALID', withIntent(nothing));
  });
  test('a grace of more than a day, or a negative one', async () => {
    const reboot = (grace_s: number) => withIntent({ ...sampleIntent(), reboot: { kind: 'normal', grace_s } });
    await refused('SCHEMA_INVALID', reboot(86_401));
    await refused('SCHEMA_INVALID', reboot(-1));
  });
});

describe('reroot', () => {
  const intent = sampleIntent();
  test.each(rerootMethods)('method %s', async (method) => {
    await refused('REROOT_REFUSED', withIntent({ ...intent, method }));
    await refused('REROOT_REFUSED', { ...sampleCommand(), method });
  });
  test.each(rerootMembers)('a member named %s, at each level', async (name) => {
    await refused('REROOT_REFUSED', { ...sampleCommand(), [name]: '/mnt' });
    await refused('REROOT_REFUSED', withIntent({ ...intent, [name]: '/mnt' }));
    await refused('REROOT_REFUSED', withIntent({ ...intent, account: { ...intent.account, [name]: null } }));
    await refused('REROOT_REFUSED', withIntent({ ...intent, vnc: { ...intent.vnc, list: [{ [name]: 1 }] } }));
  });
  test.each(rerootReboots)('a %s reboot', async (kind) => {
    await refused('REROOT_REFUSED', withIntent({ ...intent, reboot: { kind, grace_s: 0 } }));
    await refused('REROOT_REFUSED', withIntent({ ...intent, reboot: kind }));
  });
  test('a proof that others could check again does not let it through', async () => {
    const authz = { ...sampleCommand().authz, method: 'key', proof: { kid: keys.spare.kid, sig: 'A'.repeat(86) } };
    await refused('REROOT_REFUSED', { ...withIntent({ ...intent, method: 'reroot' }), authz });
  });
  test('other spellings are refused as what they are: unknown', async () => {
    for (const method of [
      'Reroot',
      'REROOT',
      'reroot ',
      ' reroot',
      'r\u0435root',
      'kexec\0',
      'rd_break',
      'on\u200bline',
      '',
    ]) {
      await refused('SCHEMA_INVALID', withIntent({ ...intent, method }));
    }
    await refused('SCHEMA_INVALID', withIntent({ ...intent, Root: '/mnt' }));
    await refused('SCHEMA_INVALID', withIntent({ ...intent, reboot: { kind: 'Soft', grace_s: 0 } }));
  });
});

describe('what the proof covers', () => {
  const changes: [string, Partial<Intent>][] = [
    ['op', { op: OTHER_OP }],
    ['agent', { agent: OTHER_AGENT }],
    ['project', { project: 'other' }],
    ['operator', { operator: 'eve' }],
  ];
  test.each(changes)('an intent of another %s', (_, changed) =>
    refused('AUTHZ_INVALID', sampleCommand({ ...sampleIntent(), ...changed } as Intent)),
  );
  test('another operator in the command', () =>
    refused('AUTHZ_INVALID', { ...sampleCommand(), authz: { ...sampleCommand().authz, operator: 'eve' } }));
  test('a signed-in session is no factor for a reset', () =>
    refused('AUTHZ_INVALID', { ...sampleCommand(), authz: { ...sampleCommand().authz, method: 'session' } }));
});

const targets = [OTHER_AGENT, AGENT];
const bulkBytes = intentBytes(sampleBulk(targets));
const carried = { bytes: toBase64url(bulkBytes), sha256: await sha256Text(bulkBytes) };

describe('an intent for many machines', () => {
  const { intent: _, ...alone } = sampleCommand();
  const named = { ...alone, intent_sha256: carried.sha256, index: 1 };
  const ordered = async (payload: object, beside: CarriedIntent | null = carried) => {
    const token = await signToken('lk-command+jws', payload, keys.command);
    const verified = await verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', null));
    return authoriseWork(verified, addressee, beside ?? undefined);
  };

  test('is an order where the command names its hash and this machine’s place', async () => {
    expect(await ordered(named)).toMatchObject({ intent: sampleBulk(targets), bytes: carried.bytes });
  });
  test('or where the command holds it', async () => {
    const { intent_sha256: __, ...rest } = named;
    expect((await ordered({ ...rest, intent: carried.bytes }, null)).bytes).toBe(carried.bytes);
    // Two intents are one too many, even where they are the same.
    await expectRefused('AUTHZ_INVALID', () => ordered({ ...rest, intent: carried.bytes }));
  });
  test('is none at another place, without one, or past the list', async () => {
    for (const index of [0, 2, 499]) await expectRefused('AUTHZ_INVALID', () => ordered({ ...named, index }));
    const { index: __, ...placeless } = named;
    await expectRefused('AUTHZ_INVALID', () => ordered(placeless));
    await refused('AUTHZ_INVALID', { ...sampleCommand(), index: 0 });
  });
  test('is none where other bytes came beside the command, or none at all', async () => {
    const other = intentBytes(sampleBulk([AGENT, OTHER_AGENT]));
    const swapped = { bytes: toBase64url(other), sha256: await sha256Text(other) };
    await expectRefused('AUTHZ_INVALID', () => ordered(named, swapped));
    await expectRefused('AUTHZ_INVALID', () => ordered(named, null));
  });
  test('goes through the tripwire, too', async () => {
    const reroot = toBase64url(new TextEncoder().encode(JSON.stringify({ ...sampleBulk(targets), method: 'kexec' })));
    const sha256 = await sha256Text(Buffer.from(reroot, 'base64url'));
    await expectRefused('REROOT_REFUSED', () =>
      ordered({ ...named, intent_sha256: sha256 }, { bytes: reroot, sha256 }),
    );
  });
});

describe('cancel', () => {
  const cancelled = async (payload: object, to: Addressee = addressee) => {
    const token = await signToken('lk-command+jws', payload, keys.command);
    return authoriseCancel(await verifyToken(token, 'lk-command+jws', roleKeys(to.root, 'command', null)), to);
  };
  const byCancel: Command = {
    ...sampleCommand(cancelIntent),
    authz: { operator: 'ada', method: 'session', at: NOW_S },
  };

  test('needs a signed-in session alone', async () => expect((await cancelled(byCancel)).intent.act).toBe('cancel'));
  test('is no reset, and a reset is no cancel', async () => {
    await refused('SCHEMA_INVALID', byCancel);
    await expectRefused('SCHEMA_INVALID', () => cancelled(sampleCommand()));
  });
  test('counts for its own operation and nonce alone', async () => {
    await expectRefused('NONCE_UNKNOWN', () => cancelled(byCancel, { ...addressee, op: OTHER_OP }));
    await expectRefused('NONCE_UNKNOWN', () => cancelled(byCancel, { ...addressee, cn: bytes32Text(1) }));
  });
});

describe('the order of the checks', () => {
  /** Each wrong by itself, in the order in which they must be found. */
  const wrong: [Code, (payload: Loose) => Loose][] = [
    ['VERSION_UNSUPPORTED', (payload) => ({ ...payload, v: 2 })],
    ['ISS_MISMATCH', (payload) => ({ ...payload, iss: INSTALLATION.replace(/3$/, '4') })],
    ['AUD_MISMATCH', (payload) => ({ ...payload, aud: OTHER_AGENT })],
    ['ROOT_EXPIRED', (payload) => ({ ...payload, iat: root.expires + 1, exp: root.expires + 61 })],
    ['REROOT_REFUSED', (payload) => ({ ...payload, chroot: '/mnt' })],
    ['SCHEMA_INVALID', (payload) => ({ ...payload, unknown: 1 })],
    ['NONCE_UNKNOWN', (payload) => ({ ...payload, cn: bytes32Text(1) })],
    ['AUTHZ_INVALID', (payload) => ({ ...payload, authz: { operator: 'eve', method: 'totp', at: NOW_S } })],
  ];
  test('each is found before all that come after it', async () => {
    for (let first = 0; first < wrong.length; first += 1) {
      const payload = wrong.slice(first).reduce((made, [, spoil]) => spoil(made), asLoose(sampleCommand()));
      await refused(wrong[first]?.[0] ?? 'INTERNAL', payload);
    }
  });
});
