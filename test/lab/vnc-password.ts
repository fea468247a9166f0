// The VNC server's first password: drawn at random for each guest, and the reversible file that holds it. It is for the
// lab only; nothing of the product may take it from here.
import { createCipheriv, randomInt } from 'node:crypto';

const LETTERS = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ';
const DIGITS = '23456789';
const FILE_KEY = Buffer.from('e84ad660c4721ae0', 'hex');

function draw(alphabet: string): string {
  return alphabet.charAt(randomInt(alphabet.length));
}

/** Eight characters, since VncAuth counts no more; a letter and a digit among them. */
export function drawVncPassword(): string {
  const middle = Array.from({ length: 6 }, () => draw(LETTERS + DIGITS)).join('');
  return `${draw(LETTERS)}${middle}${draw(DIGITS)}`;
}

/** Single DES, which OpenSSL 3 still offers as triple DES with one key thrice. */
export function obfuscateVncPassword(password: string): Buffer {
  const block = Buffer.alloc(8);
  block.write(password.slice(0, 8), 'latin1');
  const cipher = createCipheriv('des-ede3-ecb', Buffer.concat([FILE_KEY, FILE_KEY, FILE_KEY]), null);
  cipher.setAutoPadding(false);
  return Buffer.concat([cipher.update(block), cipher.final()]);
}
