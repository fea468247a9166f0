// The two uses of DES in VNC: the obfuscation of a stored password (a fixed, public key: not protection), and the answer
// to a VncAuth challenge (RFC 6143, section 7.2.2). Pure; never keeps a password or a result.

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { VNCAUTH_BYTES } from '../../protocol/limits.ts';

/** The fixed key of vncpasswd with the bits of each byte mirrored, as a standard DES wants it. */
const FILE_KEY = Uint8Array.of(0xe8, 0x4a, 0xd6, 0x60, 0xc4, 0x72, 0x1a, 0xe0);

/** A VncAuth challenge and its answer, in bytes. */
export const CHALLENGE_BYTES = 16;

/** The 8 bytes that count: cut there, or filled with NUL. */
export function effectiveBytes(password: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(VNCAUTH_BYTES);
  bytes.set(password.subarray(0, VNCAUTH_BYTES));
  return bytes;
}

/** The content of a password file without a view-only password. */
export function obfuscate(password: Uint8Array): Uint8Array {
  const block = effectiveBytes(password);
  try {
    return des('encrypt', FILE_KEY, block);
  } finally {
    block.fill(0);
  }
}

/** The password (8 bytes, NUL-filled) in a password file's first block; `undefined` where the file holds none. */
export function deobfuscate(content: Uint8Array): Uint8Array | undefined {
  // 16 bytes hold a view-only password as well.
  if (content.length !== VNCAUTH_BYTES && content.length !== 2 * VNCAUTH_BYTES) return undefined;
  return des('decrypt', FILE_KEY, content.subarray(0, VNCAUTH_BYTES));
}

/** The answer to a challenge: DES of both halves under the password with mirrored bits. */
export function answerChallenge(challenge: Uint8Array, password: Uint8Array): Uint8Array {
  if (challenge.length !== CHALLENGE_BYTES) throw new RangeError('challenge');
  const key = effectiveBytes(password).map(mirrorBits);
  try {
    return des('encrypt', key, challenge);
  } finally {
    key.fill(0);
  }
}

function mirrorBits(byte: number): number {
  let mirrored = 0;
  for (let bit = 0; bit < 8; bit += 1) if (byte & (1 << bit)) mirrored |= 0x80 >> bit;
  return mirrored;
}

/** Single DES. OpenSSL 3 offers no `des-ecb` without its legacy provider; triple DES with K, K, K is the same function. */
function des(direction: 'encrypt' | 'decrypt', key: Uint8Array, blocks: Uint8Array): Uint8Array {
  const tripled = new Uint8Array(3 * key.length);
  for (let copy = 0; copy < 3; copy += 1) tripled.set(key, copy * key.length);
  try {
    const make = direction === 'encrypt' ? createCipheriv : createDecipheriv;
    const cipher = make('des-ede3-ecb', tripled, null).setAutoPadding(false);
    return Uint8Array.from(Buffer.concat([cipher.update(blocks), cipher.final()]));
  } finally {
    tripled.fill(0);
  }
}
