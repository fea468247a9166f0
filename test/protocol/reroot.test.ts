// The tripwire against "reroot": each name that asks for one, at each depth, is refused by its own code; what merely looks
// like one is refused by the schema, and what does not is let through.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalBytes, type JsonValue, parseCanonical } from '../../protocol/canonical.ts';
import { command } from '../../protocol/command.ts';
import { intent } from '../../protocol/intent.ts';
import { refuseReroot, rerootMembers, rerootMethods, rerootReboots } from '../../protocol/reroot.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { expectRefused } from './refusal.ts';
import { sampleCommand, sampleIntent } from './samples.ts';

/** Wraps a value in objects and arrays, as deep as a payload may be. */
function atDepth(value: JsonValue, depth: number): JsonValue[] {
  let wrapped = [value];
  for (let level = 0; level < depth; level += 1) wrapped = wrapped.flatMap((inner) => [[inner], { member: inner }]);
  return wrapped;
}

const everywhere = async (value: JsonValue) => {
  for (const depth of [0, 1, 2, 3, 5]) {
    for (const wrapped of atDepth(value, depth)) await expectRefused('REROOT_REFUSED', () => refuseReroot(wrapped));
  }
  const inIntent = { ...sampleIntent(), ...(value as object) };
  await expectRefused('REROOT_REFUSED', () => refuseReroot(inIntent as unknown as JsonValue));
  const inCommand = { ...sampleCommand(), ...(value as object) };
  await expectRefused('REROOT_REFUSED', () => refuseReroot(inCommand as unknown as JsonValue));
};

describe('refused at each depth, and inside an intent or a command', () => {
  test('the lists are those of the design', () => {
    expect([rerootMethods.length, rerootMembers.length, rerootReboots.length]).toEqual([14, 10, 4]);
  });
  test.each(rerootMethods)('method %s', (method) => everywhere({ method }));
  test.each(rerootMembers)('member %s, whatever its value', async (name) => {
    for (const value of ['x', '', null, 0, false, {}, []]) await everywhere({ [name]: value });
  });
  test.each(rerootReboots)('reboot %s', async (kind) => {
    await everywhere({ reboot: kind });
    await everywhere({ reboot: { kind } });
    await everywhere({ reboot: { kind, grace_s: 0 } });
  });
});

describe('not tripped, and refused by the schema', () => {
  const lookalikes = rerootMethods.flatMap((name) => [
    name.toUpperCase(),
    name[0]?.toUpperCase() + name.slice(1),
    ` ${name}`,
    `${name} `,
    `${name}\n`,
    `${name}\0`,
    name.replace(/[eo]/, (letter) => (letter === 'e' ? '\u0435' : '\u043e')),
  ]);
  const isListed = (name: string) => rerootMethods.includes(name);

  test.each(lookalikes.filter((name) => !isListed(name)))('method %j', async (method) => {
    const value = { ...sampleIntent(), method };
    refuseReroot(value as unknown as JsonValue);
    await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, value));
  });

  test.each(['Soft', 'SOFT', ' soft', 'soft ', 's\u043eft', '', 'hard', 'force', null, 1, [], ['soft']])(
    'reboot kind %j',
    async (kind) => {
      const value = { ...sampleIntent(), reboot: { kind, grace_s: 0 } };
      refuseReroot(value as unknown as JsonValue);
      await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, value));
    },
  );

  test.each(['Root', 'ROOT', 'root ', 'r\u043eot', 'kernelargs', 'kernel_args', 'init2'])('member %j', async (name) => {
    const value = { ...sampleIntent(), [name]: 'x' };
    refuseReroot(value as unknown as JsonValue);
    await expectRefused('SCHEMA_INVALID', () => parseSchema(intent, value));
    await expectRefused('SCHEMA_INVALID', () => parseSchema(command, { ...sampleCommand(), [name]: 'x' }));
  });
});

describe('not refused', () => {
  test('a good intent and command', () => {
    refuseReroot(sampleIntent() as unknown as JsonValue);
    refuseReroot(sampleCommand() as unknown as JsonValue);
  });

  test('the words as values of other members', () => {
    for (const word of [...rerootMethods, ...rerootMembers, ...rerootReboots])
      refuseReroot({ name: word, list: [word] });
    for (const plain of [null, true, 1, 'reroot', []]) refuseReroot(plain);
  });

  test('exactly the values that name none of them', () => {
    const name = fc.constantFrom('method', 'reboot', 'kind', 'a', 'root', '__proto__', 'constructor');
    const word = fc.constantFrom('reroot', 'soft', 'online', 'normal');
    const tree = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        word,
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(name, tie('value'), { maxKeys: 3 }),
      ),
    })).value;
    fc.assert(
      fc.property(tree, (value) => {
        const text = JSON.stringify(value);
        const asks = /"root":|"method":"reroot"|"(reboot|kind)":"soft"/.test(text);
        let tripped = false;
        try {
          refuseReroot(parseCanonical(canonicalBytes(value)));
        } catch (error) {
          tripped = (error as { code?: unknown }).code === 'REROOT_REFUSED';
        }
        expect(tripped).toBe(asks);
      }),
      { numRuns: 1_000 },
    );
  });
});
