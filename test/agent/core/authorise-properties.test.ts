// What no correctly signed command can bring about, whatever it says: drawn commands, where the tests beside this one have
// chosen ones.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Addressee, authoriseWork } from '../../../agent/core/authorise.ts';
import type { JsonValue } from '../../../protocol/canonical.ts';
import { toBase64url } from '../../../protocol/keys.ts';
import { rerootMembers, rerootMethods } from '../../../protocol/reroot.ts';
import { newId } from '../../../protocol/schema.ts';
import type { VerifiedToken } from '../../../protocol/token.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import {
  AGENT,
  bytes32Text,
  keys,
  OP,
  sampleBulk,
  sampleCommand,
  sampleIntent,
  sampleRoot,
} from '../../protocol/samples.ts';

type Loose = { [key: string]: JsonValue };
const loose = (value: unknown) => JSON.parse(JSON.stringify(value)) as Loose;
const encoded = (intent: unknown) => toBase64url(new TextEncoder().encode(JSON.stringify(intent)));

const addressee: Addressee = {
  agent: AGENT,
  project: 'default',
  root: sampleRoot(),
  op: OP,
  cn: bytes32Text(0x60),
  expired: false,
};

/** What becomes of a payload whose signature holds. */
const codeOf = (payload: unknown, to = addressee): Promise<unknown> => {
  const header = { alg: 'Ed25519', kid: keys.command.kid, typ: 'lk-command+jws' } as const;
  return codeFrom(() => authoriseWork({ header, payload, payloadSha256: '' } as VerifiedToken, to));
};
const withIntent = (intent: unknown) => ({ ...loose(sampleCommand()), intent: encoded(intent) });

const agentId = fc.uint8Array({ minLength: 26, maxLength: 26 }).map((bytes) => newId('agt', () => bytes));
const anyJson = fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<JsonValue>;

test('a good command is taken', async () => {
  expect(await codeOf(loose(sampleCommand()))).toBeUndefined();
});

test('a command acts on its addressee alone, whoever else hears it', async () => {
  await fc.assert(
    fc.asyncProperty(agentId, agentId, async (one, other) => {
      fc.pre(one !== other);
      const command = { ...sampleCommand(), aud: one, intent: encoded({ ...sampleIntent(), agent: one }) };
      expect(await codeOf(loose(command), { ...addressee, agent: one })).toBeUndefined();
      expect(await codeOf(loose(command), { ...addressee, agent: other })).toBe('AUD_MISMATCH');
      // Nor does an addressee of the command's own choice make the intent one about that machine.
      expect(await codeOf(loose({ ...command, aud: other }), { ...addressee, agent: other })).toBe('AUTHZ_INVALID');
    }),
  );
});

test('a command over many machines acts on the one at its place, and on no other', async () => {
  const targets = fc.uniqueArray(agentId, { minLength: 2, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(targets, fc.nat(), fc.nat(), async (agents, whom, where) => {
      const [agent = '', index] = [agents[whom % agents.length], where % agents.length];
      const intent = encoded({ ...sampleBulk(), targets: agents });
      const command = { ...loose(sampleCommand()), aud: agent, index, intent };
      const code = await codeOf(command, { ...addressee, agent });
      expect(code).toBe(agents[index] === agent ? undefined : 'AUTHZ_INVALID');
    }),
  );
});

test('any method but `online` is refused, whatever it is', async () => {
  const method = fc.oneof(
    anyJson,
    fc.string({ unit: 'binary' }),
    fc.constantFrom('Online', 'online ', ...rerootMethods),
  );
  await fc.assert(
    fc.asyncProperty(method, async (said) => {
      fc.pre(said !== 'online');
      const listed = typeof said === 'string' && (rerootMethods as readonly string[]).includes(said);
      expect(await codeOf(withIntent({ ...loose(sampleIntent()), method: said }))).toBe(
        listed ? 'REROOT_REFUSED' : 'SCHEMA_INVALID',
      );
    }),
    { numRuns: 300 },
  );
});

test('any version but this one is refused, whatever it is', async () => {
  await fc.assert(
    fc.asyncProperty(anyJson, async (v) => {
      fc.pre(v !== 1);
      expect(await codeOf({ ...loose(sampleCommand()), v })).toBe('VERSION_UNSUPPORTED');
    }),
  );
});

test('one unknown member at any level of command or intent is refused, whatever its name and value', async () => {
  const [command, intent] = [loose(sampleCommand()), loose(sampleIntent())];
  const name = fc.oneof(
    fc.string({ minLength: 1, unit: 'binary' }),
    fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'force', 'seq'),
  );
  const place = fc.constantFrom(
    ...placesIn(command).map((path) => ['command', path] as const),
    ...placesIn(intent).map((path) => ['intent', path] as const),
  );
  await fc.assert(
    fc.asyncProperty(place, name, anyJson, async ([where, path], member, value) => {
      const whole = where === 'command' ? command : intent;
      fc.pre(!(member in objectAt(whole, path)) || Object.hasOwn(Object.prototype, member));
      const spoilt = withMember(whole, path, member, value);
      const code = await codeOf(where === 'command' ? spoilt : withIntent(spoilt));
      expect(code).toBe((rerootMembers as readonly string[]).includes(member) ? 'REROOT_REFUSED' : 'SCHEMA_INVALID');
    }),
    { numRuns: 500 },
  );
});

type Path = readonly string[];

/** The paths of all objects in a value, itself first. */
function placesIn(value: Loose, path: Path = []): Path[] {
  const inside = Object.entries(value).filter(([, member]) => typeof member === 'object' && member !== null);
  return [path, ...inside.flatMap(([name, member]) => placesIn(member as Loose, [...path, name]))];
}

function objectAt(value: Loose, path: Path): Loose {
  return path.reduce((found, name) => found[name] as Loose, value);
}

/** A copy of `value` with one more member; as an own one also where it is called `__proto__`. */
function withMember(value: Loose, path: Path, name: string, member: JsonValue): Loose {
  const copy = structuredClone(value);
  const given = { value: member, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(objectAt(copy, path), name, given);
  return copy;
}
