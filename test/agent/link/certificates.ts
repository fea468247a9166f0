// Certificates made when a test runs, with the system's openssl, in a temporary folder. Nothing of them is kept.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Certificate = Readonly<{ cert: string; key: string }>;
type Wishes = Readonly<{
  /** `null`: only the subject names it, as certificates did long ago (RFC 9525, section 2). */
  name?: string | null;
  days?: number;
  rsaBits?: number;
  /** `leaf`: a server's certificate of the own authority signs another, which it may not. */
  authority?: 'own' | 'other' | 'self' | 'leaf';
  purpose?: 'serverAuth' | 'clientAuth';
}>;

export async function hasOpenssl(): Promise<boolean> {
  return run('openssl', ['version']).then(
    () => true,
    () => false,
  );
}

export class CertificateMaker {
  readonly #folder: string;
  caPem = '';
  #made = 0;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(): Promise<CertificateMaker> {
    const maker = new CertificateMaker(await mkdtemp(join(tmpdir(), 'latchkey-tls-')));
    await maker.#authority('own');
    await maker.#authority('other');
    maker.caPem = await readFile(maker.#path('own.pem'), 'utf8');
    return maker;
  }

  close(): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }

  /** A server's certificate: by default a good one for 127.0.0.1. */
  async make({
    name = 'IP:127.0.0.1',
    days = 2,
    rsaBits,
    authority = 'own',
    purpose,
  }: Wishes = {}): Promise<Certificate> {
    const issuer = authority === 'leaf' ? await this.#leaf() : authority;
    this.#made += 1;
    const [key, request, cert, extensions] = ['key', 'csr', 'crt', 'ext'].map((kind) =>
      this.#path(`${this.#made}.${kind}`),
    ) as [string, string, string, string];
    await this.#key(key, rsaBits);
    await run('openssl', [
      'req',
      '-new',
      '-key',
      key,
      '-subj',
      `/CN=${name === null ? '127.0.0.1' : 'gateway'}`,
      '-out',
      request,
    ]);
    const lines = [
      'basicConstraints=CA:FALSE',
      ...(name ? [`subjectAltName=${name}`] : []),
      ...(purpose ? [`extendedKeyUsage=${purpose}`] : []),
    ];
    await writeFile(extensions, `${lines.join('\n')}\n`);
    const signer =
      authority === 'self'
        ? ['-signkey', key]
        : ['-CA', this.#path(`${issuer}.pem`), '-CAkey', this.#path(`${issuer}.key`), '-CAcreateserial'];
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      request,
      ...signer,
      '-days',
      String(days),
      '-extfile',
      extensions,
      '-out',
      cert,
    ]);
    const chain = authority === 'leaf' ? await readFile(this.#path('leaf.pem'), 'utf8') : '';
    return { cert: `${await readFile(cert, 'utf8')}${chain}`, key: await readFile(key, 'utf8') };
  }

  async #leaf(): Promise<'leaf'> {
    const { cert, key } = await this.make();
    await writeFile(this.#path('leaf.pem'), cert);
    await writeFile(this.#path('leaf.key'), key);
    return 'leaf';
  }

  async #authority(name: string): Promise<void> {
    await this.#key(this.#path(`${name}.key`));
    await run('openssl', [
      'req',
      '-x509',
      '-key',
      this.#path(`${name}.key`),
      '-subj',
      `/CN=${name} authority`,
      '-days',
      '2',
      '-out',
      this.#path(`${name}.pem`),
    ]);
  }

  async #key(path: string, rsaBits?: number): Promise<void> {
    const kind = rsaBits
      ? ['RSA', '-pkeyopt', `rsa_keygen_bits:${rsaBits}`]
      : ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    await run('openssl', ['genpkey', '-algorithm', ...kind, '-out', path]);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
