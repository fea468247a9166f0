// The metrics of the control plane, each defined and counted here alone. What happens to operations and machines is counted from
// the history (history.ts), what stands somewhere from the store at each scrape, what the signer answers at its client. No label
// is an id, a name, or a text that somebody else may choose.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Code, isCode } from '../../protocol/codes.ts';
import { factorMethods } from '../../protocol/command.ts';
import { codeOf } from '../../protocol/failure.ts';
import { isEnd, type State, states } from '../../protocol/lifecycle.ts';
import type { SignerClient } from '../signer/client.ts';
import type { StoredEvent } from '../store/events.ts';
import { VERSION } from '../version.ts';

export type AgentState = 'online' | 'offline' | 'quarantined';
/** What is asked of the store at a scrape. */
export type Standing = Readonly<{
  agents: readonly Readonly<{ state: AgentState; version: string | null }>[];
  openOperations: ReadonlyMap<State, number>;
  queues: Readonly<Record<'audit_handover' | 'secrets_uncollected' | 'store_writes', number>>;
}>;

const ALARMS = ['machine', 'operation', 'operator', 'join_token'] as const;
const alarms: Readonly<Record<string, (typeof ALARMS)[number]>> = {
  'vm.flag': 'machine',
  'operation.alarm': 'operation',
  'operator.alarm': 'operator',
  'join_token.misused': 'join_token',
};

/** Versions that are told apart: what an agent says of itself is its guest's word. */
const VERSIONS_MAX = 16;
const VERSION_FORM = /^\d{1,4}\.\d{1,4}\.\d{1,4}(-[0-9a-z.]{1,16})?$/;
const STEP_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3_600];
const SIGNER_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const NS_PER_S = 1e9;

export class Metrics {
  readonly #registry = new Registry();
  readonly #counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter({ name: `latchkey_${name}`, help, labelNames, registers: [this.#registry] });
  readonly #gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name: `latchkey_${name}`, help, labelNames, registers: [this.#registry] });
  readonly #histogram = <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
    new Histogram({ name: `latchkey_${name}`, help, labelNames, buckets, registers: [this.#registry] });

  /** By the type of the event that says it. */
  readonly #happened = new Map(
    Object.entries({
      'operation.created': this.#counter('operations_created_total', 'Operations that were drafted.'),
      'operation.approved': this.#counter('operations_approved_total', 'Operations that were proven and may be sent.'),
      'operation.overdue': this.#counter('operations_overdue_total', 'Reboots after which a machine was late.'),
      'vm.enrolled': this.#counter('agents_enrolled_total', 'Machines that enrolled.'),
      'vm.online': this.#counter('agent_connections_total', 'Connections of machines that proved themselves.'),
      'vm.offline': this.#counter('agent_disconnections_total', 'Such connections that ended.'),
    }),
  );
  readonly #agents = this.#gauge('agents', 'Enrolled machines.', ['state', 'version']);
  readonly #open = this.#gauge('operations_open', 'Operations that have not ended.', ['state']);
  readonly #queues = this.#gauge('queue_depth', 'What waits.', ['queue']);
  readonly #ended = this.#counter(
    'operations_ended_total',
    'Operations by end. One that expired may end once more, by the word of its machine.',
    ['state'],
  );
  readonly #endCodes = this.#counter('operation_end_codes_total', 'Operations that ended with a code.', [
    'state',
    'code',
  ]);
  readonly #steps = this.#histogram(
    'operation_state_duration_seconds',
    'How long an operation was in a state before the next, by whose clock.',
    ['state', 'measured_by'],
    STEP_BUCKETS_S,
  );
  readonly #handshakes = this.#counter('handshakes_refused_total', 'Peers that did not prove themselves.', ['code']);
  readonly #alarms = this.#counter('alarms_total', 'Alarms in the history.', ['about']);
  readonly #refusals = this.#counter('signer_refusals_total', 'What the signer did not do.', ['method', 'code']);
  readonly #away = this.#counter('signer_unavailable_total', 'Questions that the signer did not answer.');
  readonly #answers = this.#histogram(
    'signer_answer_duration_seconds',
    'How long the signer took to answer or to refuse.',
    ['method'],
    SIGNER_BUCKETS_S,
  );
  readonly #factors = this.#counter('factor_failures_total', 'Proofs that did not hold, by kind.', ['method']);

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#gauge('build_info', 'The version that runs.', ['version']).set({ version: VERSION }, 1);
    // What first appears as 1 was never seen to rise: whatever alerts watch stands there from the beginning.
    for (const state of states) if (isEnd(state)) this.#ended.inc({ state }, 0);
    for (const about of ALARMS) this.#alarms.inc({ about }, 0);
    for (const method of factorMethods) this.#factors.inc({ method }, 0);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text of a scrape. */
  async text({ agents, openOperations, queues }: Standing): Promise<string> {
    for (const gauge of [this.#agents, this.#open, this.#queues]) gauge.reset();
    const told = versionsTold(agents.map(({ version }) => version));
    for (const { state, version } of agents) this.#agents.inc({ state, version: told(version) });
    for (const state of states) if (!isEnd(state)) this.#open.set({ state }, openOperations.get(state) ?? 0);
    for (const [queue, depth] of Object.entries(queues)) this.#queues.set({ queue }, depth);
    return this.#registry.metrics();
  }

  countEvent({ type, data }: Pick<StoredEvent, 'type' | 'data'>): void {
    const about = alarms[type];
    if (about) this.#alarms.inc({ about });
    if (type === 'operation.state') this.#countMove(data);
    else this.#happened.get(type)?.inc();
  }

  countRefusedHandshake(code: Code): void {
    this.#handshakes.inc({ code });
  }

  /** The same client, and what comes of each question is counted. */
  watching(signer: SignerClient): SignerClient {
    return async (method, params) => {
      const began = process.hrtime.bigint();
      try {
        return await signer(method, params);
      } catch (error) {
        const code = codeOf(error) ?? 'INTERNAL';
        if (code === 'SIGNER_UNAVAILABLE') this.#away.inc();
        else this.#refusals.inc({ method, code });
        const { proof } = params as { proof?: { method: string } };
        if (proof && isFactorFailure(code)) this.#factors.inc({ method: proof.method });
        throw error;
      } finally {
        this.#answers.observe({ method }, Number(process.hrtime.bigint() - began) / NS_PER_S);
      }
    };
  }

  #countMove({ from, state, code, spent_ms, measured_by }: StoredEvent['data']): void {
    if (typeof from === 'string' && typeof spent_ms === 'number' && typeof measured_by === 'string') {
      this.#steps.observe({ state: from, measured_by }, spent_ms / 1_000);
    }
    if (typeof state !== 'string' || !isEnd(state as State)) return;
    this.#ended.inc({ state });
    if (typeof code === 'string') this.#endCodes.inc({ state, code: isCode(code) ? code : 'unknown' });
  }
}

const isFactorFailure = (code: Code): boolean => code.startsWith('FACTOR_') || code === 'AUTHZ_INVALID';

/** Each version that many machines have, as a label; the rest, and what is no version, is `other`. */
function versionsTold(versions: readonly (string | null)[]): (version: string | null) => string {
  const counts = new Map<string, number>();
  for (const version of versions) {
    if (version !== null && VERSION_FORM.test(version)) counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  const frequent = [...counts].toSorted(([, a], [, b]) => b - a).slice(0, VERSIONS_MAX);
  const kept = new Set(frequent.map(([version]) => version));
  return (version) => (version === null ? 'unknown' : kept.has(version) ? version : 'other');
}
