// The serial console of a machine, as somebody who sits at it: waits for what appears, types, signs in. What was typed is
// never kept.

import type { Socket } from 'node:net';

/** An emulated machine on a busy runner is slow; only one that hangs takes longer. */
const PATIENCE_MS = 300_000;
const PROMPT_MS = 30_000;
const TAIL = 2_000;

export class Console {
  #socket: Socket | undefined;
  #heard = '';
  #woken: (() => void)[] = [];
  /** The last thing that came is a prompt for a name, which was waited for. */
  #isAsked = false;

  attach(socket: Socket): void {
    this.#socket = socket;
    this.#isAsked = false;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.#heard += String(chunk);
      for (const wake of this.#woken.splice(0)) wake();
    });
  }

  /** What came before is not waited for any more. */
  forget(): void {
    this.#heard = '';
    this.#isAsked = false;
  }

  type(line: string): void {
    this.#socket?.write(`${line}\r`);
  }

  /** Waits for the pattern in what came since it was last found, and forgets up to its end. */
  async until(pattern: RegExp, patienceMs = PATIENCE_MS): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(patienceMs);
    for (;;) {
      const found = pattern.exec(this.#heard);
      if (found) {
        this.#heard = this.#heard.slice(found.index + found[0].length);
        return found;
      }
      if (deadline.aborted) throw new Error(`no ${pattern} on the console, but: ${this.#heard.slice(-TAIL)}`);
      await new Promise<void>((resolve) => {
        this.#woken.push(resolve);
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** Whether the pattern comes in that time. */
  async shows(pattern: RegExp, patienceMs: number): Promise<boolean> {
    return this.until(pattern, patienceMs).then(
      () => true,
      () => false,
    );
  }

  /** Tries to sign in at the prompt; where it succeeds, there is a shell. */
  async signIn(account: string, password: string): Promise<'in' | 'refused'> {
    // A prompt that is made anew drops what was typed for the one before.
    do {
      if (!this.#isAsked) await this.#askForPrompt();
      this.#isAsked = false;
      this.type(account);
    } while (!(await this.shows(/Password: $/, PROMPT_MS)));
    this.type(password);
    const [said] = await this.until(/Login incorrect|[#$] $/);
    if (said !== 'Login incorrect') return 'in';
    // login(1) waits before it asks again, and takes an empty line that comes in the meantime for a name.
    await this.#awaitPrompt();
    return 'refused';
  }

  async signOut(): Promise<void> {
    this.type('exit');
    await this.#awaitPrompt();
  }

  async #askForPrompt(): Promise<void> {
    this.forget();
    this.type('');
    await this.until(/login: $/);
  }

  async #awaitPrompt(): Promise<void> {
    await this.until(/login: $/);
    this.#isAsked = true;
  }

  /** What a command prints in the shell; it must succeed. */
  async run(command: string): Promise<string> {
    this.forget();
    this.type(`${command}; echo "[$?]"`);
    const [, text = '', code] = await this.until(/\n([\s\S]*?)\[(\d+)\]\r?\n/);
    if (code !== '0') throw new Error(`${command}: ended with ${code}: ${text}`);
    return text.replace(/\x1b\[[?0-9;]*[A-Za-z]/g, '').trim();
  }
}
