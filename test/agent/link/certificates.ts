// Certificates made when a test runs, with the system's openssl, in a temporary folder. Nothing of them is kept.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Certificate = Readonly<{ cert: string; key: string }>;
type Wishes = Readonly<{
  name?: string;
  days?: number;
  rsaBits?: number;
  authority?: 'own' | 'other' | 'self';
  notAuthority?: boolean;
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
  async make({ name = 'IP:127.0.0.1', days = 2, rsaBits, authority = 'own' }: Wishes = {}): Promise<Certificate> {
    this.#made += 1;
    const [key, request, cert, extensions] = ['key', 'csr', 'crt', 'ext'].map((kind) =>
      this.#path(`${this.#made}.${kind}`),
    ) as [string, string, string, string];
    await this.#key(key, rsaBits);
    await run('openssl', ['req', '-new', '-key', key, '-subj', '/CN=gateway', '-out', request]);
    await writeFile(extensions, `subjectAltName=${name}\n`);
    const signer =
      authority === 'self'
        ? ['-signkey', key]
        : ['-CA', this.#path(`${authority}.pem`), '-CAkey', this.#path(`${authority}.key`), '-CAcreateserial'];
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
    return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
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
