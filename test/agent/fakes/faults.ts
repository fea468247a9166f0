// Faults on demand: the Nth call of a port fails, or the process dies there, before or after the call has had its effect.
// Never changes what a call does; what it had done when the process died stays done.

/** The process died here. Nothing catches it but the test that starts the next process. */
export class Crash extends Error {
  constructor(call: string) {
    super(`the process died at ${call}`);
    this.name = 'Crash';
  }
}

export type Fault = Readonly<{
  /** A port's call, such as `accounts.setPassword`; `undefined` counts the calls of all ports. */
  call?: string;
  /** Counted from 1, from the moment of planning. */
  nth: number;
  when: 'before' | 'after';
  /** `crash`, or what is thrown. */
  how: 'crash' | Error;
  /** From the Nth on, every time; once by default. */
  forever?: boolean;
}>;

export class Faults {
  readonly calls: string[] = [];
  readonly #planned: { fault: Fault; seen: number }[] = [];
  readonly #died: () => void;

  /** `died` is told of each crash, so that what a process holds is let go. */
  constructor(died: () => void = () => {}) {
    this.#died = died;
  }

  plan(fault: Fault): void {
    this.#planned.push({ fault, seen: 0 });
  }

  clear(): void {
    this.#planned.length = 0;
  }

  /** Runs one call of a port under the faults that were planned. */
  async around<T>(call: string, act: () => T | Promise<T>): Promise<T> {
    this.calls.push(call);
    const due = this.#planned.filter((plan) => {
      if (plan.fault.call !== undefined && plan.fault.call !== call) return false;
      plan.seen += 1;
      return plan.fault.forever ? plan.seen >= plan.fault.nth : plan.seen === plan.fault.nth;
    });
    this.#strike(call, due.find(({ fault }) => fault.when === 'before')?.fault);
    const result = await act();
    this.#strike(call, due.find(({ fault }) => fault.when === 'after')?.fault);
    return result;
  }

  #strike(call: string, fault: Fault | undefined): void {
    if (fault === undefined) return;
    if (fault.how !== 'crash') throw fault.how;
    this.#died();
    throw new Crash(call);
  }
}
