// The ways in which VNC servers keep a password in a file. Pure; what it returns is the caller's to wipe.

import { Failure } from '../../protocol/failure.ts';
import { deobfuscate, effectiveBytes, obfuscate } from './vncauth.ts';

export type PasswordFormat = Readonly<{
  /** A file with more bytes than this is something else and must not be replaced. */
  bytesMax: number;
  /** The whole content of a file that holds this password and no other, and what else `before` has to keep. */
  encode(password: Uint8Array, before: Uint8Array | undefined): Uint8Array;
  /** What counts of the password that gives full access; `undefined` where the file holds none. */
  decode(content: Uint8Array): Uint8Array | undefined;
  /** What counts of a password. */
  effective(password: Uint8Array): Uint8Array;
}>;

/** vncpasswd's: one block for full access and perhaps one for viewing only. */
export const obfuscated: PasswordFormat = {
  bytesMax: 64,
  encode: obfuscate,
  decode: deobfuscate,
  effective: effectiveBytes,
};

/** x11vnc's `-passwdfile`: each line is a password in clear, so a new one must be the only line. */
export const plainLines: PasswordFormat = {
  bytesMax: 4_096,
  effective: effectiveBytes,
  encode(password) {
    const text = withoutNul(effectiveBytes(password));
    try {
      if (isReadOtherwise(text)) throw new Failure('VNC_FAILED', { reason: 'unstorable' });
      return Uint8Array.of(...text, LINE_FEED);
    } finally {
      text.fill(0);
    }
  },
  decode(content) {
    for (const line of linesOf(Buffer.from(content.buffer, content.byteOffset, content.length))) {
      if (line.includes('__BEGIN_VIEWONLY__')) return undefined;
      if (line[0] === HASH || line.includes('__SKIP__')) continue;
      const note = line.indexOf('__COMM__');
      const password = note < 0 ? line : line.subarray(0, note);
      if (password.length > 0) return effectiveBytes(password.includes('__EMPTY__') ? new Uint8Array() : password);
    }
    return undefined;
  },
};

const LINE_FEED = 0x0a;
const HASH = 0x23;
const BLANK = 0x20;
/** Those that fit into a password's eight bytes. */
const MARKS = ['__SKIP__', '__COMM__'];

/** What x11vnc takes for a remark, a mark of its own, or blanks around a password. */
function isReadOtherwise(text: Uint8Array): boolean {
  const line = Buffer.from(text.buffer, text.byteOffset, text.length);
  const outside = [line[0], line.at(-1)].some((byte) => byte === undefined || byte <= BLANK);
  return outside || line[0] === HASH || line.includes(LINE_FEED) || MARKS.some((mark) => line.includes(mark));
}

function linesOf(content: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < content.length; ) {
    const found = content.indexOf(LINE_FEED, start);
    const end = found < 0 ? content.length : found;
    lines.push(content.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function withoutNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}
