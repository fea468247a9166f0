// Where the signer is: its socket on this host, or another host over TLS in which both sides show a certificate. Neither
// side trusts any authority but the one that is named for this.

import { readFileSync } from 'node:fs';
import { Failure } from '../../protocol/failure.ts';
import type { MutualTls, SignerPlace } from '../signer/place.ts';
import { demandFile } from './checks.ts';

export type SignerFlags = Readonly<{ signer?: string; signerCert?: string; signerKey?: string; signerCa?: string }>;

/** `null` where none is named: the socket in the data folder. Throws `CONFIG_INVALID` naming the option. */
export function readSignerPlace(flags: SignerFlags, env: NodeJS.ProcessEnv): Exclude<SignerPlace, string> | null {
  const address = flags.signer ?? env['LATCHKEY_SIGNER'];
  const tls = readMutualTls(
    {
      cert: flags.signerCert ?? env['LATCHKEY_SIGNER_CERT_FILE'],
      key: flags.signerKey ?? env['LATCHKEY_SIGNER_KEY_FILE'],
      ca: flags.signerCa ?? env['LATCHKEY_SIGNER_CA_FILE'],
    },
    { cert: 'signer-cert', key: 'signer-key', ca: 'signer-ca' },
  );
  if (address === undefined) {
    if (tls) throw refusal('signer', 'missing');
    return null;
  }
  const [, host = '', port = ''] = /^\[?([A-Za-z0-9.:-]+?)\]?:([0-9]{1,5})$/.exec(address) ?? [];
  if (host === '' || Number(port) > 65_535) throw refusal('signer', 'host:port');
  if (!tls) throw refusal('signer-cert', 'missing');
  return { host, port: Number(port), tls };
}

type Files<T> = Readonly<Record<'cert' | 'key' | 'ca', T>>;

/** All three, or none. `names` are those of the options. */
export function readMutualTls(files: Files<string | undefined>, names: Files<string>): MutualTls | null {
  const { cert, key, ca } = files;
  if (cert === undefined && key === undefined && ca === undefined) return null;
  const read = (path: string | undefined, name: string, isPrivate: boolean) => {
    if (path === undefined) throw refusal(name, 'missing');
    demandFile(path, name, isPrivate);
    return readFileSync(path, 'utf8');
  };
  return { cert: read(cert, names.cert, false), key: read(key, names.key, true), ca: read(ca, names.ca, false) };
}

function refusal(field: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { field, reason });
}
