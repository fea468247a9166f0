// How an input is spoiled: by bytes, by the JSON in it, and inside the encodings of tokens, because a change that the first
// check already sees says nothing of the checks behind it. Every draw comes from one seed.

import type { Chance } from '../simulation/chance.ts';

/** What parsers have stumbled over before: written into an input in place of something else. */
const WORDS = [
  '__proto__',
  'constructor',
  'prototype',
  '\u0000',
  '\ufeff',
  '\ud800',
  '1e3',
  '-0',
  '9007199254740993',
  'null',
  '[]',
  '{}',
  '""',
  '"alg":"none"',
  '"crit":["exp"]',
  '"zip":"DEF"',
  '../../etc/passwd',
  '\\u0061',
  '='.repeat(4),
  'A'.repeat(300),
  '['.repeat(40),
] as const satisfies [string, ...string[]];
const JSON_VALUES = ['null', 'true', '-1', '0', '1.5', '18446744073709551616', '""', '"x"', '[]', '{}'] as const;

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const bytes = (words: string) => Buffer.from(words, 'latin1');

/** One to four changes to `input`; `other` is another real input, for parts that come from elsewhere. */
export function spoil(input: Uint8Array, other: Uint8Array, chance: Chance): Uint8Array {
  let spoilt = input;
  for (let times = 1 + chance.int(4); times > 0; times -= 1) spoilt = change(spoilt, other, chance);
  return spoilt;
}

function change(input: Uint8Array, other: Uint8Array, chance: Chance): Uint8Array {
  switch (chance.int(10)) {
    case 0:
      return flip(input, chance);
    case 1:
      return cut(input, chance);
    case 2:
      return insert(input, bytes(chance.pick(WORDS)), chance);
    case 3:
      return insert(input, slice(other, chance), chance);
    case 4:
      return repeat(input, chance);
    case 5:
      return replaceValue(input, chance);
    case 6:
      return doubleMember(input, chance);
    case 7:
      return swapParts(input, other, chance);
    default:
      return inEncoding(input, other, chance);
  }
}

function flip(input: Uint8Array, chance: Chance): Uint8Array {
  const copy = Uint8Array.from(input);
  if (copy.length > 0) {
    const at = chance.int(copy.length);
    copy[at] = chance.oneIn(2) ? chance.int(256) : (copy[at] ?? 0) ^ (1 << chance.int(8));
  }
  return copy;
}

function slice(input: Uint8Array, chance: Chance): Uint8Array {
  const from = chance.int(input.length + 1);
  return input.subarray(from, from + chance.int(64));
}

function cut(input: Uint8Array, chance: Chance): Uint8Array {
  const from = chance.int(input.length + 1);
  const until = chance.oneIn(3) ? input.length : from + chance.int(16);
  return Buffer.concat([input.subarray(0, from), input.subarray(until)]);
}

function insert(input: Uint8Array, what: Uint8Array, chance: Chance): Uint8Array {
  const at = chance.int(input.length + 1);
  const over = chance.oneIn(2) ? what.length : 0;
  return Buffer.concat([input.subarray(0, at), what, input.subarray(at + over)]);
}

function repeat(input: Uint8Array, chance: Chance): Uint8Array {
  const part = slice(input, chance);
  return insert(input, Buffer.concat(Array.from({ length: 1 + chance.int(8) }, () => part)), chance);
}

/** Another value behind some colon. */
function replaceValue(input: Uint8Array, chance: Chance): Uint8Array {
  const words = text(input);
  const values = [...words.matchAll(/:("[^"]*"|-?[0-9.]+|true|false|null)/g)];
  const hit = values[chance.int(Math.max(1, values.length))];
  if (!hit) return flip(input, chance);
  return bytes(`${words.slice(0, hit.index + 1)}${chance.pick(JSON_VALUES)}${words.slice(hit.index + hit[0].length)}`);
}

/** A member once more, or under a name that parsers treat in a way of their own. */
function doubleMember(input: Uint8Array, chance: Chance): Uint8Array {
  const words = text(input);
  const members = [...words.matchAll(/"[A-Za-z_0-9]+":("[^"]*"|-?[0-9.]+|true|false|null)/g)];
  const hit = members[chance.int(Math.max(1, members.length))];
  if (!hit) return flip(input, chance);
  const twin = chance.oneIn(2) ? hit[0] : hit[0].replace(/^"[^"]*"/, `"${chance.pick(WORDS)}"`);
  return bytes(`${words.slice(0, hit.index)}${twin},${words.slice(hit.index)}`);
}

/** A part of a token in the place of a part of another. */
function swapParts(input: Uint8Array, other: Uint8Array, chance: Chance): Uint8Array {
  const [own, foreign] = [text(input).split('.'), text(other).split('.')];
  if (own.length < 2 || foreign.length < 2) return flip(input, chance);
  own[chance.int(own.length)] = foreign[chance.int(foreign.length)] ?? '';
  return bytes(own.join('.'));
}

/** The same changes to what stands in the input in base64url. */
function inEncoding(input: Uint8Array, other: Uint8Array, chance: Chance): Uint8Array {
  const words = text(input);
  const runs = [...words.matchAll(/[A-Za-z0-9_-]{20,}/g)];
  const hit = runs[chance.int(Math.max(1, runs.length))];
  if (!hit) return flip(input, chance);
  const inside = change(Buffer.from(hit[0], 'base64url'), other, chance);
  const encoded = Buffer.from(inside).toString('base64url');
  return bytes(`${words.slice(0, hit.index)}${encoded}${words.slice(hit.index + hit[0].length)}`);
}
