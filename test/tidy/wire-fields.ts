// The fields of every message as WIRE.md must list them, read from the schemas themselves: name and type of each field, at
// every level. Meanings are written by hand there; names and types cannot drift.

import { auditRow, auditSeal } from '../../protocol/audit.ts';
import { command, keyProof, passkeyProof } from '../../protocol/command.ts';
import { cancelIntent, initialiseIntent, resetIntent } from '../../protocol/intent.ts';
import { preflight } from '../../protocol/preflight.ts';
import { receipt } from '../../protocol/receipt.ts';
import { rootPayload, signedRoot } from '../../protocol/root.ts';
import * as schema from '../../protocol/schema.ts';
import * as session from '../../protocol/session.ts';

/** Heading in WIRE.md, and the schema whose fields stand under it. */
export const sections: readonly (readonly [string, unknown])[] = [
  ['`lk-root+jws`', rootPayload],
  ['`lk-enrol+jws`', session.enrol],
  ['`lk-enrol-ek+jws`', session.enrolEk],
  ['Facts', session.facts],
  ['`lk-enrolled+jws`', session.enrolled],
  ['`lk-hello+jws`', session.hello],
  ['`lk-welcome+jws`', session.welcome],
  ['`lk-ready+jws`', session.ready],
  ['Intent to reset', resetIntent],
  ['Intent to initialise', initialiseIntent],
  ['Intent to cancel', cancelIntent],
  ['`lk-command+jws`', command],
  ['Key proof', keyProof],
  ['Passkey proof', passkeyProof],
  ['`lk-receipt+jws`', receipt],
  ['`lk-ack+jws`', session.ack],
  ['`lk-preflight+jws`', preflight],
  ['A row', auditRow],
  ['`lk-audit+jws`', auditSeal],
];

const named = new Map<unknown, string>(
  Object.entries({
    seconds: schema.seconds,
    counter: schema.counter,
    bytes32: schema.bytes32,
    bytes64: schema.bytes64,
    'operation id': schema.operationId,
    'agent id': schema.agentId,
    'installation id': schema.installationId,
    'project name': schema.projectName,
    'account name': schema.accountName,
    'operator name': schema.operatorName,
    'VNC server id': schema.vncServerId,
    'boot id': schema.bootId,
    'code name': schema.codeName,
    token: schema.compactToken,
    'receipt token': schema.receiptToken,
    facts: session.facts,
    'sealed secret': schema.sealedSecret,
    'Ed25519 key': schema.ed25519Jwk,
    'X25519 key': schema.x25519Jwk,
    'signed root': signedRoot,
    'carried intent': schema.carriedIntent,
    'key proof': keyProof,
    'passkey proof': passkeyProof,
  }).map(([name, value]) => [value, name]),
);

/** What is read of a schema's own description of itself; the library's types for it are wider than needed here. */
type Definition = {
  type: string;
  shape?: Record<string, unknown>;
  innerType?: unknown;
  element?: unknown;
  options?: unknown[];
  values?: unknown[];
  entries?: Record<string, string>;
  keyType?: unknown;
  valueType?: unknown;
  checks?: { _zod: { def: Record<string, unknown> } }[];
};
const definitionOf = (value: unknown): Definition => (value as { _zod: { def: Definition } })._zod.def;

/** Rows of `[field, type]`, nested fields with their path. */
export function fieldsOf(value: unknown, prefix = ''): [string, string][] {
  const { shape = {} } = definitionOf(value);
  return Object.entries(shape).flatMap(([name, field]) => fieldRows(`${prefix}${name}`, field));
}

/** The names of frames of one direction with the fields of each. */
export function framesOf(union: unknown): [string, string][] {
  return (definitionOf(union).options ?? []).map((option) => {
    const { shape = {} } = definitionOf(option);
    const { t, ...rest } = shape;
    const fields = Object.entries(rest).map(([name, field]) => {
      const { type, innerType } = definitionOf(field);
      return type === 'optional' ? `\`${name}\` (optional): ${typeOf(innerType)}` : `\`${name}\`: ${typeOf(field)}`;
    });
    return [`\`${String(definitionOf(t).values?.[0])}\``, fields.join(', ')];
  });
}

function fieldRows(path: string, field: unknown): [string, string][] {
  const optional = definitionOf(field).type === 'optional';
  const inner = optional ? definitionOf(field).innerType : field;
  const own: [string, string] = [`\`${path}\`${optional ? ' (optional)' : ''}`, typeOf(inner)];
  return [own, ...nested(path, inner)];
}

function nested(path: string, field: unknown): [string, string][] {
  if (named.has(field)) return [];
  const { type, innerType, element, valueType } = definitionOf(field);
  if (type === 'object') return fieldsOf(field, `${path}.`);
  if (type === 'nullable') return nested(path, innerType);
  if (type === 'array') return nested(`${path}[]`, element);
  if (type === 'record') return nested(`${path}.*`, valueType);
  return [];
}

function typeOf(field: unknown): string {
  const name = named.get(field);
  if (name) return name;
  const definition = definitionOf(field);
  const { type, innerType, element, values = [], entries = {}, options = [], keyType, valueType } = definition;
  switch (type) {
    case 'object':
      return 'object';
    case 'nullable':
      return `${typeOf(innerType)} or null`;
    case 'array':
      return `list of ${typeOf(element)}${bounds(definition, 'max_length', ', at most ')}`;
    case 'record':
      return `object: ${typeOf(keyType)} to ${typeOf(valueType)}`;
    case 'literal':
      return values.map((value) => JSON.stringify(value)).join(' or ');
    case 'enum':
      return Object.values(entries)
        .map((value) => `"${value}"`)
        .join(' or ');
    case 'union':
      return options.map((option) => unionPart(option)).join(' or ');
    case 'number':
      return `integer${bounds(definition, 'greater_than', ' from ')}${bounds(definition, 'less_than', ' to ')}`;
    case 'string':
      return `text${bounds(definition, 'max_length', ', at most ')}${pattern(definition)}`;
    default:
      return type;
  }
}

/** An object inside a union is told by its fields. */
function unionPart(option: unknown): string {
  const name = named.get(option);
  if (name) return name;
  const { type, shape = {} } = definitionOf(option);
  if (type !== 'object') return typeOf(option);
  return `{${Object.entries(shape)
    .map(([name, field]) => `${name}: ${typeOf(field)}`)
    .join(', ')}}`;
}

function bounds({ checks = [] }: Definition, kind: string, before: string): string {
  for (const { _zod } of checks) {
    if (_zod.def['check'] === kind) return `${before}${String(_zod.def['value'] ?? _zod.def['maximum'])}`;
  }
  return '';
}

function pattern({ checks = [] }: Definition): string {
  for (const { _zod } of checks) {
    const found = _zod.def['pattern'];
    if (found instanceof RegExp) return ` \`${found.source}\``;
  }
  return '';
}
