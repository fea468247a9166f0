// Answers what other programs ask of machines that are connected here (store/questions.ts).

import { codeOf } from '../../protocol/failure.ts';
import { answerQuestion, type OpenQuestion, openQuestions } from '../store/questions.ts';
import { findVm } from '../store/vms.ts';
import { answerOf } from './answers.ts';
import type { GatewayParts } from './parts.ts';
import type { Preflights } from './preflights.ts';
import type { Switchboard } from './switchboard.ts';

/** A connection that still answers within this is a machine, not a dropped line. */
export const STILL_ALIVE_MS = 5_000;

type Asked = Readonly<{
  switchboard: Switchboard;
  preflights: Preflights;
  cancelAgain(vm: string, op: string): void;
}>;

export class Questions {
  readonly #parts: GatewayParts;
  readonly #gateway: Asked;
  readonly #answering = new Map<number, Promise<void>>();

  constructor(parts: GatewayParts, gateway: Asked) {
    this.#parts = parts;
    this.#gateway = gateway;
  }

  /** Begins to answer whatever is asked. */
  async look(): Promise<void> {
    for (const asked of await openQuestions(this.#parts.store.db, this.#parts.id)) {
      if (this.#answering.has(asked.id)) continue;
      const answering = this.#answer(asked)
        .catch((error: unknown) => {
          this.#parts.log.error(
            { vm: asked.vm, code: codeOf(error) ?? 'INTERNAL', defect: String(error) },
            'no answer',
          );
        })
        .finally(() => this.#answering.delete(asked.id));
      this.#answering.set(asked.id, answering);
    }
  }

  nudge(): void {
    // Where there is one program, nobody asks.
    if (!this.#parts.store.isShared) return;
    this.look().catch((error: unknown) => {
      this.#parts.log.error({ code: codeOf(error) ?? 'INTERNAL', defect: String(error) }, 'questions not read');
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#answering.values());
  }

  async #answer({ id, vm, question }: OpenQuestion): Promise<void> {
    const answer = await this.#find(vm, question);
    await this.#parts.store.write((trx) => answerQuestion(trx, id, answer));
  }

  async #find(vm: string, question: OpenQuestion['question']): Promise<unknown> {
    switch (question.ask) {
      case 'preflight': {
        const known = await findVm(this.#parts.store.db, vm);
        return known && answerOf(() => this.#gateway.preflights.ask(known, question.operator));
      }
      case 'alive': {
        const socket = this.#gateway.switchboard.of(vm)?.socket;
        const alive = (await socket?.answers(STILL_ALIVE_MS)) ?? false;
        if (!alive) socket?.terminate();
        return { alive };
      }
      case 'cancel':
        this.#gateway.cancelAgain(vm, question.op);
        return {};
    }
  }
}
