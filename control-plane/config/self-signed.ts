// `serve --tls-self-signed`: the authority and the server's certificate in the data folder. The authority is made once, since
// images pin it; the certificate is made anew whenever it does not serve any more.

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { Failure } from '../../protocol/failure.ts';
import type { Around, Certified } from './certificates.ts';
import { makePrivateFolder, readIfThere, writePrivateFile } from './files.ts';
import type { ServeOptions, Tls } from './options.ts';
import type { Paths } from './paths.ts';

const AUTHORITY_DAYS = 3_650;
const SERVER_DAYS = 90;
/** A certificate with less than this ahead of it is made anew. */
const RENEW_AT_MS = 30 * 86_400_000;

/**
 * The installation's own TLS, made or renewed where that is due. Throws `CONFIG_INVALID` naming a file that is damaged, or an
 * authority past its end: images pin it, so a new one is for a person to decide.
 */
export async function selfSigned(paths: Paths, names: readonly string[], around: Around): Promise<Tls> {
  makePrivateFolder(paths.tlsFolder);
  const authority = await authorityOf(paths, around);
  const kept = readPair(paths.tlsCert, paths.tlsKey);
  if (kept && serves(kept, names, authority, around.nowMs())) return { ...kept, caPem: authority.cert };
  const { issueFor } = await import('./certificates.ts');
  const fresh = await issueFor(names, SERVER_DAYS, authority, around);
  writePair(paths.tlsCert, paths.tlsKey, fresh);
  return { ...fresh, caPem: authority.cert };
}

/** Every name by which this control plane may be reached, as far as it was told. */
export function namesOf({
  host,
  publicUrl,
  agentUrl,
  listeners,
}: Pick<ServeOptions, 'host' | 'publicUrl' | 'agentUrl' | 'listeners'>): string[] {
  const told = [publicUrl, agentUrl].flatMap((url) => (url === null ? [] : [new URL(url).hostname]));
  const hosts = [host, ...(listeners.agentListen ? [listeners.agentListen.host] : [])];
  const bound = hosts.filter((name) => name !== '0.0.0.0' && name !== '::');
  const names = [...told, ...bound, hostname(), 'localhost', '127.0.0.1', '::1'];
  return [...new Set(names.map((name) => name.replace(/^\[(.*)\]$/, '$1').toLowerCase()))];
}

async function authorityOf({ tlsAuthority, tlsAuthorityKey, data }: Paths, around: Around): Promise<Certified> {
  const kept = readPair(tlsAuthority, tlsAuthorityKey);
  if (!kept) {
    const { makeAuthority } = await import('./certificates.ts');
    const fresh = await makeAuthority(`Latchkey at ${hostname()}`.slice(0, 64), AUTHORITY_DAYS, around);
    writePair(tlsAuthority, tlsAuthorityKey, fresh);
    return fresh;
  }
  const certificate = parsed(kept.cert, tlsAuthority.slice(data.length + 1));
  if (around.nowMs() > Date.parse(certificate.validTo)) {
    throw new Failure('CONFIG_INVALID', { file: 'tls/ca.pem', reason: 'past its end' });
  }
  return kept;
}

/** Issued by that authority, for all of these names, and with enough time ahead. */
function serves({ cert }: Certified, names: readonly string[], authority: Certified, nowMs: number): boolean {
  const certificate = parsed(cert, 'tls/server.pem');
  if (!certificate.verify(parsed(authority.cert, 'tls/ca.pem').publicKey)) return false;
  if (Date.parse(certificate.validTo) - nowMs < RENEW_AT_MS) return false;
  return names.every((name) => (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined);
}

function parsed(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { file, reason: 'no certificate' }, cause);
  }
}

function readPair(certPath: string, keyPath: string): Certified | null {
  const [cert, key] = [readIfThere(certPath), readIfThere(keyPath)];
  return cert === null || key === null ? null : { cert, key };
}

/** The key first: a certificate without its key would be taken for nothing, and both be made anew. */
function writePair(certPath: string, keyPath: string, { cert, key }: Certified): void {
  writePrivateFile(keyPath, key);
  writePrivateFile(certPath, cert);
}
