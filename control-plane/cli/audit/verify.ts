// `latchkey audit verify`: for an outsider. It opens the files that it is given and nothing else: no data folder, no server, no key
// that is secret.

import { Failure } from '../../../protocol/failure.ts';
import { openRoot, signedRoot } from '../../../protocol/root.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { readConfigured } from '../client/private-files.ts';
import { fingerprintOf } from '../keys/fingerprint.ts';
import { fields, writeJson, writeLine } from '../view/text.ts';
import { linesOf } from './lines.ts';
import { type Findings, verifyAudit } from './verifier.ts';

export type VerifyOptions = Readonly<{
  json?: boolean;
  export: string;
  root?: string;
  rootFingerprint?: string;
  head?: string;
}>;

export async function verifyExport(options: VerifyOptions): Promise<void> {
  const wanted = options.root === undefined ? (options.rootFingerprint ?? null) : await fingerprintIn(options.root);
  const findings = await verifyAudit(linesOf(options.export), options.head ?? null);
  const anchor = findings.roots.find(({ fingerprint }) => fingerprint === wanted) ?? null;
  if (wanted !== null && !anchor) throw new Failure('AUDIT_ROOT_MISMATCH', { fingerprint: wanted });
  if (options.json) writeJson({ event: 'verified', ...findings, anchored: anchor !== null });
  else writeLine(describe(findings, anchor !== null));
}

/** Of a trust file, or of a root as `latchkey keys export` writes it. */
async function fingerprintIn(path: string): Promise<string> {
  try {
    const document = JSON.parse(await readConfigured(path, 'root')) as { root?: unknown };
    const signed = parseSchema(signedRoot, document.root ?? document);
    await openRoot(signed);
    return fingerprintOf(signed);
  } catch (cause) {
    if (cause instanceof Failure && cause.code === 'CONFIG_INVALID') throw cause;
    throw new Failure('CONFIG_INVALID', { path, reason: 'no trust file and no root' }, cause);
  }
}

function describe(
  { rows, unsealed, head, headAt, endedAt, iss, roots, proofs, counts, gaps, open }: Findings,
  anchored: boolean,
): string {
  const newest = roots.at(-1);
  const root = `version ${newest?.version ?? 0} of ${iss}, fingerprint ${newest?.fingerprint ?? ''}`;
  const codes = proofs.unchecked === 0 ? '' : `, ${proofs.unchecked} by the signer’s word (codes)`;
  const missing = gaps.map(({ row, op, after, n }) => `row ${row}: ${op} lacks what came between ${after} and ${n}`);
  const lines = fields([
    [
      'rows',
      `${rows}, each sealed and in its place${unsealed === 0 ? '' : `, but for the first ${unsealed}, which are chained alone`}`,
    ],
    ['head', head],
    ['exported', new Date(endedAt * 1000).toISOString()],
    ['root', root],
    ['intents', String(counts.intents)],
    ['proofs', `${proofs.checked} checked${codes}`],
    ['commands', `${counts.commands} signed for proven intents`],
    ['receipts', `${counts.receipts} signed by ${counts.machines} machines, chained`],
    ['gaps', counts.gaps === 0 ? 'none' : missing.join('\n      ')],
    ['forks', counts.forks === 0 ? 'none' : String(counts.forks)],
    ['not ended', open.count === 0 ? 'none' : `${open.count}: ${open.ops.join(' ')}`],
    ...(headAt === null ? [] : [['noted head', `row ${headAt}`] as const]),
  ]);
  const beware = [
    ...(anchored
      ? []
      : ['Whose audit this is, nobody said: compare the fingerprint with one that you trust, or give --root.']),
    ...(headAt === null
      ? [
          'Rows that were left out at the end, of this and of every copy, show only against a head noted before (--head).',
        ]
      : []),
  ];
  return [lines, ...beware].join('\n');
}
