// A row of the audit in words, for a list that people look through: what of its data names the matter.

import type { AuditRow } from '../../../protocol/audit.ts';

const SHOWN = [
  'agent',
  'method',
  'kind',
  'state',
  'code',
  'reason',
  'version',
  'n',
  'after',
  'methods',
  'second_person',
  'what',
];
const WIDTH_MAX = 76;

export function describeRow({ data }: AuditRow): string {
  const said = JSON.parse(data) as Record<string, unknown>;
  const words = SHOWN.filter((name) => said[name] !== undefined && said[name] !== null && said[name] !== '').map(
    (name) => `${name} ${String(said[name])}`,
  );
  const line = words.join(', ');
  return line.length <= WIDTH_MAX ? line : `${line.slice(0, WIDTH_MAX - 1)}…`;
}
