// Two pipes, one for each direction, as the one connection that the link and an executor hold. What either side still had
// to say when the other went away is read to its end.

import { Duplex, type Readable, type Writable } from 'node:stream';

export class PipePair extends Duplex {
  readonly #input: Readable;
  readonly #output: Writable;

  constructor(input: Readable, output: Writable) {
    super({ allowHalfOpen: true });
    this.#input = input;
    this.#output = output;
    input.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) input.pause();
    });
    input.on('end', () => this.push(null));
    input.on('error', () => this.push(null));
    // Nobody reads there any more: who it was ends its own output as well, and that is what counts.
    output.on('error', () => {});
  }

  override _read(): void {
    this.#input.resume();
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: () => void): void {
    this.#output.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#output.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#input.destroy();
    this.#output.destroy();
    done(error);
  }
}
