// X.509 certificates for an installation that has no authority of its own: one authority for its agents to pin, and server
// certificates that it issues. ECDSA on P-256 throughout. Nothing here reads or writes a file.

import 'reflect-metadata';
import { isIP } from 'node:net';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const SERIAL_BYTES = 16;
/** Machines whose clocks are a little behind ours must not find a certificate that is not valid yet. */
const BACKDATED_MS = 3_600_000;
const DAY_MS = 86_400_000;

type Keys = { publicKey: CryptoKey; privateKey: CryptoKey };

/** PEM texts. */
export type Certified = Readonly<{ cert: string; key: string }>;
export type Around = Readonly<{ nowMs: () => number; randomBytes: (count: number) => Uint8Array }>;

/** An authority that may sign certificates of servers and no further authority (RFC 5280, section 4.2.1.9). */
export async function makeAuthority(name: string, days: number, around: Around): Promise<Certified> {
  const keys = await makeKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    ...frame(days, around),
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return pair(cert, keys);
}

/** A server's certificate for these DNS names and IP addresses. Its key is new each time. */
export async function issueFor(
  names: readonly string[],
  days: number,
  authority: Certified,
  around: Around,
): Promise<Certified> {
  const issuer = new X509Certificate(authority.cert);
  const keys = await makeKeys();
  const alternatives = names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value }));
  const cert = await X509CertificateGenerator.create({
    ...frame(days, around),
    subject: [{ CN: ['latchkey'] }],
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey: await imported(authority.key),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(alternatives),
    ],
  });
  return pair(cert, keys);
}

function frame(days: number, { nowMs, randomBytes }: Around) {
  // A positive number of at most 20 bytes (RFC 5280, section 4.1.2.2).
  const serial = Buffer.from(randomBytes(SERIAL_BYTES));
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const now = nowMs();
  return {
    serialNumber: serial.toString('hex'),
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + days * DAY_MS),
  };
}

async function pair(cert: X509Certificate, { privateKey }: Keys): Promise<Certified> {
  const key = PemConverter.encode(await crypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY');
  return { cert: `${cert.toString('pem')}\n`, key: `${key}\n` };
}

function makeKeys(): Promise<Keys> {
  return crypto.subtle.generateKey(KEY, true, ['sign', 'verify']) as Promise<Keys>;
}

function imported(pem: string): Promise<CryptoKey> {
  return crypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), KEY, false, ['sign']);
}
