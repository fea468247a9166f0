// Every message's schema: what is right passes, and any other field, kind or range is refused, at every level.

import { describe, expect, test } from 'vitest';
import type * as z from 'zod/mini';
import { canonicalBytes, type JsonValue } from '../../protocol/canonical.ts';
import { command } from '../../protocol/command.ts';
import { encodeIntent, intent, intentBytes, intentHash, readIntent, targetOf } from '../../protocol/intent.ts';
import { COMMAND_TTL_S, FRAME_BYTES_MAX, GRACE_S_MAX, TARGETS_MAX } from '../../protocol/limits.ts';
import { RECEIPT_GENESIS, receipt } from '../../protocol/receipt.ts';
import { rootPayload } from '../../protocol/root.ts';
import { accountName, agentId, newId, operationId, parseSchema, vncServerId } from '../../protocol/schema.ts';
import * as session from '../../protocol/session.ts';
import { trustFile } from '../../protocol/trust.ts';
import { messages } from './message-samples.ts';
import { expectRefused } from './refusal.ts';
import { AGENT, countingBytes, NOW_S, OP, sampleBulk, sampleCommand, sampleIntent, sampleReceipt } from './samples.ts';

const OTHER = `agt_${'0'.repeat(25)}9`;

type Path = readonly (string | number)[];

/** The paths of every object and of every leaf in a value. */
function paths(value: JsonValue, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([name, member]) => paths(member, [...at, name]))];
}

/** A copy in which the value at a path is replaced; text is edited so that `__proto__` stays an ordinary name. */
function replaced(value: JsonValue, path: Path, change: (old: JsonValue) => string): unknown {
  const [name, ...rest] = path;
  const render = (inner: JsonValue, left: Path): string => {
    const [next, ...later] = left;
    if (next === undefined) return change(inner);
    if (Array.isArray(inner)) {
      return `[${inner.map((item, i) => (String(i) === next ? render(item, later) : JSON.stringify(item))).join()}]`;
    }
    const members = Object.entries(inner as Record<string, JsonValue>);
    return `{${members.map(([key, item]) => `${JSON.stringify(key)}:${key === next ? render(item, later) : JSON.stringify(item)}`).join()}}`;
  };
  return JSON.parse(name === undefined ? change(value) : render(value, [name, ...rest]));
}

const isObject = (value: JsonValue) => typeof value === 'object' && value !== null && !Array.isArray(value);
const at = (value: JsonValue, path: Path): JsonValue =>
  path.reduce<JsonValue>((inner, name) => (inner as Record<string | number, JsonValue>)[name] ?? null, value);

const rows: (readonly [string, z.core.$ZodType, JsonValue])[] = messages.map(([name, schema, value]) => [
  name,
  schema,
  JSON.parse(JSON.stringify(value)) as JsonValue,
]);

describe.each(rows)('%s', (_, schema, value) => {
  const refuse = async (changed: unknown, hint: string) => {
    await expectRefused('SCHEMA_INVALID', () => parseSchema(schema, changed)).catch((error: unknown) => {
      throw new Error(hint, { cause: error });
    });
  };
  const objects = paths(value).filter((path) => isObject(at(value, path)));

  test('passes as it is, and comes out unchanged', () => {
    expect(parseSchema(schema, value)).toEqual(value);
  });

  test('one more field at any level', async () => {
    for (const path of objects) {
      const changed = replaced(value, path, (old) => JSON.stringify({ ...(old as object), zz_unknown: 1 }));
      await refuse(changed, path.join('.'));
    }
  });

  test('a field that names a prototype, at any level', async () => {
    for (const path of objects) {
      for (const name of ['__proto__', 'constructor', 'prototype']) {
        const changed = replaced(value, path, (old) => {
          const text = JSON.stringify(old);
          const comma = text === '{}' ? '' : ',';
          return `{"${name}":{"x":1}${comma}${text.slice(1)}`;
        });
        await refuse(changed, `${path.join('.')} ${name}`);
      }
    }
    expect(({} as Record<string, unknown>)['x']).toBe(undefined);
  });

  test('an array for an object, and a text for a number, at any level', async () => {
    for (const path of paths(value)) {
      const old = at(value, path);
      if (isObject(old))
        await refuse(
          replaced(value, path, (object) => `[${JSON.stringify(object)}]`),
          path.join('.'),
        );
      if (typeof old === 'number') {
        for (const other of [`"${old}"`, `${old}.5`, '-1', '1e300', '9007199254740993', '[]', 'true']) {
          await refuse(
            replaced(value, path, () => other),
            `${path.join('.')} = ${other}`,
          );
        }
      }
      if (typeof old === 'string') {
        for (const other of ['7', '{}', '[]', 'true', `[${JSON.stringify(old)}]`]) {
          await refuse(
            replaced(value, path, () => other),
            `${path.join('.')} = ${other}`,
          );
        }
      }
      if (typeof old === 'boolean') {
        for (const other of ['"true"', '0', '1', '{}'])
          await refuse(
            replaced(value, path, () => other),
            path.join('.'),
          );
      }
    }
  });
});

test('every schema of a message is among them', () => {
  const tested = new Set<unknown>(messages.map(([, schema]) => schema));
  const exported = { ...session, command, intent, receipt, rootPayload, trustFile };
  const parts = ['readyAccount', 'readyVnc'];
  for (const [name, schema] of Object.entries(exported)) {
    if (typeof schema !== 'object' || parts.includes(name)) continue;
    expect(tested.has(schema), name).toBe(true);
  }
});

describe('the command', () => {
  test('lives two minutes at most, and ends after it begins', async () => {
    const lasting = (seconds: number) => ({ ...sampleCommand(), exp: NOW_S + seconds });
    expect(parseSchema(command, lasting(COMMAND_TTL_S))).toBeTruthy();
    expect(parseSchema(command, lasting(1))).toBeTruthy();
    for (const seconds of [COMMAND_TTL_S + 1, 0, -1, 86_400]) {
      await expectRefused('SCHEMA_INVALID', () => parseSchema(command, lasting(seconds)));
    }
  });

  test('names no other method of proof than those that exist', async () => {
    for (const method of ['none', '', 'TOTP', 'sms', 'webauthn']) {
      const value = { ...sampleCommand(), authz: { operator: 'ada', method, at: NOW_S } };
      await expectRefused('SCHEMA_INVALID', () => parseSchema(command, value));
    }
  });
});

describe('a command over many machines', () => {
  test('holds its intent or names its hash, and not both', async () => {
    const { intent: bytes, ...rest } = sampleCommand();
    const intent_sha256 = await intentHash(intentBytes(sampleBulk()));
    expect(parseSchema(command, { ...rest, intent_sha256, index: 0 })).toBeTruthy();
    await expectRefused('SCHEMA_INVALID', () => parseSchema(command, rest));
    await expectRefused('SCHEMA_INVALID', () => parseSchema(command, { ...rest, intent: bytes, intent_sha256 }));
  });

  test('names one of 500 at most', async () => {
    const at = (index: number) => ({ ...sampleCommand(), index });
    expect(parseSchema(command, at(499))).toBeTruthy();
    for (const index of [500, -1, 0.5]) await expectRefused('SCHEMA_INVALID', () => parseSchema(command, at(index)));
  });

  test('has an intent that lists each machine once, types nothing and knows no uid', async () => {
    const targets = Array.from({ length: TARGETS_MAX }, (_, n) => `agt_${String(n).padStart(26, '0')}`);
    expect(readIntent(encodeIntent(intentBytes(sampleBulk(targets))))).toEqual(sampleBulk(targets));
    const { account: _, ...vncOnly } = sampleBulk();
    const wrong: object[] = [
      { ...sampleBulk(), targets: [] },
      { ...sampleBulk(), targets: [AGENT, AGENT] },
      { ...sampleBulk(), targets: [...targets, AGENT] },
      { ...sampleBulk(), agent: AGENT },
      { ...sampleBulk(), account: { ...sampleBulk().account, uid: 0 } },
      { ...sampleBulk(), account: sampleIntent().account },
      { ...vncOnly, vnc: { ...sampleIntent().vnc, secret: sampleIntent().account?.secret } },
      { ...sampleBulk(), targets: undefined },
    ];
    for (const value of wrong) {
      await expectRefused('SCHEMA_INVALID', () => readIntent(encodeIntent(canonicalBytes(value))));
    }
  });

  test('addresses the machine at its place, and nobody without one', () => {
    const bulk = sampleBulk([AGENT, OTHER]);
    expect([targetOf(bulk, 0), targetOf(bulk, 1)]).toEqual([AGENT, OTHER]);
    expect([targetOf(bulk, 2), targetOf(bulk, undefined)]).toEqual([null, null]);
    expect([targetOf(sampleIntent(), undefined), targetOf(sampleIntent(), 0)]).toEqual([AGENT, null]);
  });
});

describe('the intent', () => {
  test('is the same bytes each time, and reads back as it was', async () => {
    const bytes = intentBytes(sampleIntent());
    expect(readIntent(encodeIntent(bytes))).toEqual(sampleIntent());
    expect(await intentHash(bytes)).toBe(await intentHash(intentBytes(sampleIntent())));
  });

  test('of a reset resets something, when made and when read', async () => {
    const { account: _a, vnc: _v, ...empty } = sampleIntent();
    await expectRefused('SCHEMA_INVALID', () => intentBytes(empty));
    await expectRefused('SCHEMA_INVALID', () => readIntent(encodeIntent(canonicalBytes(empty))));
  });

  test('of a reset always reboots, normally, after at most a day', async () => {
    const { reboot: _, ...without } = sampleIntent();
    await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, without));
    for (const grace_s of [GRACE_S_MAX + 1, -1, 0.5]) {
      const value = { ...sampleIntent(), reboot: { kind: 'normal', grace_s } };
      await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, value));
    }
    const longest = { ...sampleIntent(), reboot: { kind: 'normal', grace_s: GRACE_S_MAX } };
    expect(parseSchema(intent, longest)).toEqual(longest);
  });

  test('knows one method and no other act', async () => {
    for (const changes of [
      { method: 'Online' },
      { method: '' },
      { act: 'Reset' },
      { act: 'shell' },
      { v: 0 },
      { v: 2 },
    ]) {
      await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, { ...sampleIntent(), ...changes }));
    }
  });
});

describe('names and ids', () => {
  test.each(['root', 'ada', '_apt', 'a', 'a-b_c', 'a'.repeat(32), 'Admin', 'j.doe', 'vm1$', '3com', 'a--'])(
    'account %j',
    (name) => {
      expect(parseSchema(accountName, name)).toBe(name);
    },
  );
  test.each(
    [
      '-R',
      '--root=/x',
      '-',
      '.',
      '..',
      '../x',
      'a'.repeat(33),
      '1234',
      '0',
      'a:b',
      'a\nb',
      'a\n',
      'a b',
      ' a',
      'a\0',
    ].concat(['', 'é', 'a/b', '.a', 'a$b', 'a@b', 'root\u200b', 'r\u043eot', 'root$$', '12$ ', '0x0 ']),
  )('no account %j', (name) => expectRefused('SCHEMA_INVALID', () => parseSchema(accountName, name)));

  test.each([
    '../../x',
    'op_',
    `${OP}\n`,
    `${OP}0`,
    OP.toUpperCase(),
    OP.replace('0', 'i'),
    OP.replace('0', 'u'),
    AGENT,
  ])('no operation %j', (id) => expectRefused('SCHEMA_INVALID', () => parseSchema(operationId, id)));

  test.each(['tigervnc', 'tigervnc:', ':5901', 'tigervnc:123456', 'Tiger:1', 'a b:1', 'tigervnc:5901/x'])(
    'no VNC server %j',
    (id) => expectRefused('SCHEMA_INVALID', () => parseSchema(vncServerId, id)),
  );

  test('new ids are ids of their kind, from all 32 signs', () => {
    expect(
      parseSchema(
        agentId,
        newId('agt', (count) => countingBytes(0, count)),
      ),
    ).toMatch(/^agt_/);
    const signs = new Set([...newId('op', () => countingBytes(0, 32)).slice(3)]);
    expect(signs.size).toBe(32);
  });
});

describe('frames', () => {
  const heartbeat = (size: number) => {
    const frame = session.encodeFrame({ t: 'heartbeat', uptime_s: 1 });
    return new TextEncoder().encode(frame + ' '.repeat(size - frame.length));
  };

  test('one byte past the limit is refused before it is read', async () => {
    await expectRefused('TOKEN_MALFORMED', () => session.parseUpFrame(heartbeat(FRAME_BYTES_MAX + 1)));
    await expectRefused('TOKEN_MALFORMED', () => session.parseDownFrame(heartbeat(FRAME_BYTES_MAX + 1)));
    await expectRefused('NONCANONICAL', () => session.parseUpFrame(heartbeat(FRAME_BYTES_MAX)));
  });

  test('a frame of one direction is refused in the other', async () => {
    const up = canonicalBytes({ t: 'heartbeat', uptime_s: 1 });
    const down = canonicalBytes({ t: 'prepare', op: OP, account: null });
    expect(session.parseUpFrame(up)).toEqual({ t: 'heartbeat', uptime_s: 1 });
    expect(session.parseDownFrame(down)).toEqual({ t: 'prepare', op: OP, account: null });
    await expectRefused('SCHEMA_INVALID', () => session.parseDownFrame(up));
    await expectRefused('SCHEMA_INVALID', () => session.parseUpFrame(down));
    for (const t of ['', 'Heartbeat', 'exec', null, 1]) {
      await expectRefused('SCHEMA_INVALID', () => session.parseUpFrame(canonicalBytes({ t })));
    }
  });
});

test('the first receipt follows the hash of nothing', async () => {
  expect(await intentHash(new Uint8Array())).toBe(RECEIPT_GENESIS);
  expect(sampleReceipt().prev).toBe(RECEIPT_GENESIS);
});
