// The command key in files that their owner alone may read: those of the signer's folder, the first one and what rotations
// added, and a credential that a service manager hands over (`$CREDENTIALS_DIRECTORY/command-key`, systemd.exec(5)).

import { KeyObject, sign } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../../protocol/failure.ts';
import type { SigningKey } from '../../../protocol/keys.ts';
import { keyFiles } from '../../config/authority.ts';
import { readKey } from '../../config/key-file.ts';
import type { HeldKey, Signer } from '../ports/signer.ts';

/** Looks into the folder each time it is asked for its keys. Throws `KEY_EXPOSED` and `CONFIG_INVALID`. */
export function folderSigner(folder: string): Signer {
  return inMemory(async () => {
    const paths = keyFiles(folder, 'command').map((name) => join(folder, name));
    return Promise.all(paths.map((path) => readPrivateKey(path, false)));
  });
}

/** Read once: the process may be another user by the time that it signs. */
export async function credentialSigner(path: string): Promise<Signer> {
  const key = await readPrivateKey(path, true);
  return inMemory(async () => [key]);
}

function inMemory(read: () => Promise<readonly SigningKey[]>): Signer {
  const known = new Map<string, KeyObject>();
  return {
    async keys(): Promise<readonly HeldKey[]> {
      const found = await read();
      known.clear();
      for (const { kid, privateKey } of found) known.set(kid, KeyObject.from(privateKey));
      return found.map(({ kid, jwk }) => ({ kid, jwk }));
    },
    sign(kid, _purpose, bytes) {
      const key = known.get(kid);
      if (!key) throw new Failure('KID_UNKNOWN', { kid: kid.slice(0, 8) });
      return sign(null, bytes, key);
    },
  };
}

async function readPrivateKey(path: string, isCredential: boolean): Promise<SigningKey> {
  demandPrivate(path, isCredential);
  return readKey(path);
}

/** Whoever else could read it, or put another one in its place, could command every machine. */
function demandPrivate(file: string, isCredential: boolean): void {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (!found) return;
  const { uid, gid, mode } = found;
  if (!found.isFile()) throw new Failure('KEY_EXPOSED', { file, reason: 'kind' });
  if (uid !== 0 && uid !== process.geteuid?.()) throw new Failure('KEY_EXPOSED', { file, reason: 'owner' });
  // A credential for a user who is not root has an access list, which shows where the group's bits are.
  const allowed = isCredential && uid === 0 && gid === 0 ? 0o740 : 0o700;
  if ((mode & 0o777 & ~allowed) !== 0) {
    throw new Failure('KEY_EXPOSED', { file, reason: 'mode', mode: (mode & 0o777).toString(8).padStart(4, '0') });
  }
}
