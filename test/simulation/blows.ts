// The blows that are planned for the process at work: which of them is due at a call, and with what.

import { Failure } from '../../protocol/failure.ts';
import type { Chance } from './chance.ts';
import type { Verdict } from './process.ts';
import { type Blow, failures } from './scenario.ts';

export class Blows {
  readonly #chance: Chance;
  #planned: { readonly blow: Blow; seen: number }[] = [];

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** For the next process; what lasts for ever stays. */
  plan(blow: Blow | null): void {
    this.#planned = this.#planned.filter((planned) => planned.blow.stretch === 'ever');
    if (blow) this.#planned.push({ blow, seen: 0 });
  }

  clear(): void {
    this.#planned = [];
  }

  get strikeJournal(): boolean {
    return this.#planned.some(({ blow }) => blow.call?.startsWith('journal.'));
  }

  /** Counts the call and says what strikes it. */
  due(call: string): Verdict | undefined {
    let due: Verdict | undefined;
    for (const planned of this.#planned) {
      const { blow } = planned;
      if (blow.call !== undefined && blow.call !== call) continue;
      planned.seen += 1;
      if (blow.stretch && blow.stretch !== 'once' ? planned.seen < blow.nth : planned.seen !== blow.nth) continue;
      due ??= this.#verdictOf(blow, call);
    }
    return due;
  }

  #verdictOf({ when, how }: Blow, call: string): Verdict | undefined {
    if (how !== 'fail') return { when, how };
    const choices = failures[call]?.[when === 'before' ? 'before' : 'after'];
    return choices && { when, how: new Failure(this.#chance.pick(choices), { reason: 'planted' }) };
  }
}
