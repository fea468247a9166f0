// `latchkey trust export`: the trust file of images, checked before it is written. It holds nothing secret.

import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { Failure } from '../../protocol/failure.ts';
import { openRoot } from '../../protocol/root.ts';
import { parseTrust, type TrustFile } from '../../protocol/trust.ts';
import type { CommonOptions } from './action.ts';
import type { Api } from './client/api.ts';
import { readConfigured } from './client/private-files.ts';
import { writeJson, writeLine } from './view/text.ts';

export type TrustOptions = CommonOptions & Readonly<{ agentUrl?: string[]; output?: string }>;

export async function exportTrust(api: Api, { agentUrl, ca, output, json }: TrustOptions): Promise<void> {
  const { url, ca_pem, root } = await api.trust();
  const trust = await checked({
    v: 1,
    url: agentUrl ?? url,
    ca_pem: ca === undefined ? ca_pem : await readConfigured(ca, 'ca'),
    root,
  });
  const { iss, version } = await openRoot(trust.root);
  if (output === undefined) {
    writeLine(JSON.stringify(trust));
    return;
  }
  await replace(output, `${JSON.stringify(trust)}\n`);
  if (json) writeJson({ event: 'exported', file: output, url: trust.url, iss, version });
  else writeLine(`Wrote ${output}: root version ${version} of ${iss}, agents connect to ${trust.url.join(', ')}.`);
}

/** What an agent would refuse must not get into an image. */
async function checked(value: unknown): Promise<TrustFile> {
  try {
    return parseTrust(value);
  } catch (cause) {
    throw new Failure('TRUST_INVALID', cause instanceof Failure ? cause.details : {}, cause);
  }
}

/** Readable by all: it is public, and link reads it as its own user. */
async function replace(path: string, text: string): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(fresh, text, { mode: 0o644, flag: 'wx' });
    await rename(fresh, path);
  } catch (cause) {
    throw new Failure('PATH_UNWRITABLE', { path, reason: (cause as NodeJS.ErrnoException).code ?? 'unknown' }, cause);
  }
}
