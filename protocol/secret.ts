// A secret that cannot print. Everything that handles a password in this program hands it over as this type, so that a
// log line, an error, JSON or an inspector shows "[secret]" and never the value.

const PRINTED = '[secret]';

/**
 * Bytes of a secret. `reveal()` is the only way to its value and is called where the value must leave the process:
 * at a prompt of `passwd`, in a VNC file, in a sealing. `wipe()` overwrites the bytes; later reveals throw.
 */
export class Secret {
  #bytes: Uint8Array;
  #wiped = false;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Takes the bytes over: the caller keeps no copy. */
  static ofBytes(bytes: Uint8Array): Secret {
    return new Secret(bytes);
  }

  static ofText(text: string): Secret {
    return new Secret(new TextEncoder().encode(text));
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** A copy of the bytes. */
  revealBytes(): Uint8Array {
    if (this.#wiped) throw new TypeError('the secret was wiped');
    return Uint8Array.from(this.#bytes);
  }

  /** The value as text. Strings cannot be wiped: only a process that is about to exit calls this. */
  reveal(): string {
    return new TextDecoder('utf-8', { fatal: true }).decode(this.revealBytes());
  }

  /** Whether both hold the same bytes; takes the same time wherever they differ. */
  equals(other: Secret): boolean {
    const [a, b] = [this.revealBytes(), other.revealBytes()];
    let difference = a.length ^ b.length;
    for (let i = 0; i < a.length; i += 1) difference |= (a[i] ?? 0) ^ (b[i % Math.max(b.length, 1)] ?? 0);
    return difference === 0;
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return PRINTED;
  }

  toJSON(): string {
    return PRINTED;
  }

  [Symbol.toPrimitive](): string {
    return PRINTED;
  }

  /** What `console.log` and `util.inspect` show (nodejs.org, util.inspect.custom). */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return PRINTED;
  }
}
