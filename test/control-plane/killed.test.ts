// One operation whose control plane, or whose signer, is killed after every step of it, on both engines: nothing is lost, nothing is
// done twice, and whoever asks afterwards is told how it ended.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { adminClient } from '../../control-plane/signer/client.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  signingKeyFromSeed,
  toBase64url,
} from '../../protocol/keys.ts';
import { ServeProgram } from './program.ts';
import { ScriptedAgent } from './scripted-agent.ts';
import { type Databases, engines } from './store/engines.ts';

const LIFE_MS_MAX = 240_000;
const seed = () => Uint8Array.from(randomBytes(32));

type Answer = Awaited<ReturnType<ServeProgram['ask']>>;

async function eventually<T>(probe: () => Promise<T | null>, what: string): Promise<T> {
  for (const until = performance.now() + 45_000; performance.now() < until; ) {
    const found = await probe().catch(() => null);
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain for ${what}`);
}

/** An installation with one machine, and what kills it. */
class Life {
  readonly program: ServeProgram;
  readonly agent: ScriptedAgent;
  readonly #key: SigningKey;

  private constructor(program: ServeProgram, agent: ScriptedAgent, key: SigningKey) {
    this.program = program;
    this.agent = agent;
    this.#key = key;
  }

  static async begin(flags: readonly string[]): Promise<Life> {
    const program = await new ServeProgram(flags).start();
    const key = await signingKeyFromSeed(seed());
    await adminClient(pathsIn(program.data).adminSocket)('operator.add', { name: 'admin', key: key.jwk });
    const agent = await ScriptedAgent.make(program.agentUrl);
    const { token } = (await program.ask('POST', '/v1/join-tokens')).body;
    expect(await agent.enrol(String(token))).toBeNull();
    return new Life(program, agent, key);
  }

  get admin() {
    return adminClient(pathsIn(this.program.data).adminSocket);
  }

  /** Gateway and web at once, as a power loss takes them, and back. */
  async killed(): Promise<void> {
    await this.program.kill();
    await this.program.start();
  }

  /** The one signer, which its control plane replaces. */
  async withoutSigner(): Promise<void> {
    const [signer] = this.program.signers();
    process.kill(signer ?? 0, 'SIGKILL');
    await eventually(async () => this.program.signers().find((pid) => pid !== signer) ?? null, 'another signer');
    await eventually(async () => this.admin('operator.list', {}), 'its answer');
  }

  async draft(): Promise<string> {
    const [vm] = (await this.program.ask('GET', '/v1/vms')).body['items'] as { id: string }[];
    const { body } = await this.program.ask('POST', '/v1/operations', { vm: vm?.id, account: { mode: 'generated' } });
    return String(body['op']);
  }

  async intent(op: string): Promise<string> {
    const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(seed())).jwk };
    const { body } = await this.program.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
    return String(body['intent_hash']);
  }

  async submit(op: string, hash: string): Promise<Answer> {
    const bytes = Uint8Array.from(fromBase64url(hash));
    const sig = toBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', this.#key.privateKey, bytes)));
    return this.program.ask('POST', `/v1/operations/${op}/submit`, { method: 'key', kid: this.#key.kid, sig });
  }

  /** The answer to whoever lost the stream. */
  async look(op: string): Promise<Record<string, unknown>> {
    return (await this.program.ask('GET', `/v1/operations/${op}`)).body;
  }

  until(op: string, state: string): Promise<Record<string, unknown>> {
    return eventually(async () => {
      const view = await this.look(op);
      return view['state'] === state ? view : null;
    }, `${op} to be ${state}`);
  }

  /** The machine comes back, and sends again what was not acknowledged. */
  async back(op: string): Promise<void> {
    await this.agent.connect();
    for (const receipt of this.agent.receipts(op)) this.agent.sendReceipt(receipt);
    this.agent.wire.send({ t: 'synced', open: this.agent.receipts(op).length > 0 ? op : null });
  }

  /** What stands in the history of it, state by state. */
  async history(op: string): Promise<string[]> {
    const { times, state } = (await this.look(op)) as { times: { state: string; n: number | null }[]; state: string };
    return [...times.filter(({ n }) => n !== null).map((time) => time.state), state];
  }

  async rows(kind: string, op: string): Promise<number> {
    return (await this.admin('audit.rows', { kind, op, limit: 500 })).rows.length;
  }
}

describe.each(engines)('over $name, a control plane', ({ start }) => {
  let databases: Databases;
  let life: Life | undefined;
  beforeAll(async () => {
    databases = await start();
  }, LIFE_MS_MAX);
  afterAll(async () => {
    await life?.program.remove();
    await databases.stop();
  }, LIFE_MS_MAX);

  test('that is killed after each step goes on with what it had', { timeout: LIFE_MS_MAX }, async (context) => {
    const place = await databases.place(context);
    const flags =
      'file' in place
        ? []
        : ['--database-url', `postgresql://${place.user}@${place.host}:${place.port}/${place.database}`];
    life = await Life.begin(flags);
    const { agent } = life;
    const op = await life.draft();
    const hash = await life.intent(op);
    await life.killed();
    expect(await life.look(op)).toMatchObject({ state: 'QUEUED', approved: false, intent_hash: hash });
    await life.withoutSigner();
    expect(await life.submit(op, hash)).toMatchObject({ status: 200 });
    await life.killed();
    // One proof, one submission, whatever became of the answer.
    expect((await life.submit(op, hash)).body).toMatchObject({ code: 'STATE_CONFLICT' });
    expect(await life.look(op)).toMatchObject({ state: 'QUEUED', approved: true });

    await agent.online();
    await agent.answerPrepare();
    const lost = await agent.takeCommand();
    // The command is on its way to an executor that dies with the line.
    await life.killed();
    await agent.wire.closed;
    expect(await life.look(op)).toMatchObject({ state: 'SENT' });
    await life.withoutSigner();
    await agent.online();
    await agent.answerPrepare();
    const taken = await agent.takeCommand();
    expect(taken.token).not.toBe(lost.token);

    await agent.report(op, 'ACCEPTED');
    for (const states of [['PASSWORD_SET'], ['REBOOTING', 'BOOTED']] as const) {
      // Said while nobody listens, and once more when somebody does.
      for (const state of states) await agent.write(op, state);
      await life.killed();
      await agent.wire.closed;
      await life.back(op);
      await life.until(op, states.at(-1) ?? '');
    }
    await life.withoutSigner();
    await agent.report(op, 'DONE', { detail: { verified: { account: true, vnc: null, reboot: true } } });
    await life.killed();
    const end = await life.look(op);
    expect(end).toMatchObject({ state: 'DONE', ended: true, verified: { account: true, reboot: true } });
    expect((end['receipts'] as { n: number }[]).map(({ n }) => n)).toEqual([1, 2, 3, 4, 5]);
    expect(await life.history(op)).toEqual(['SENT', 'ACCEPTED', 'PASSWORD_SET', 'REBOOTING', 'BOOTED', 'DONE']);
    const counted = async (): Promise<number[]> =>
      Promise.all(['intent.proven', 'command.signed', 'receipt.recorded'].map((kind) => (life as Life).rows(kind, op)));
    await eventually(async () => ((await counted())[2] === 5 ? true : null), 'the receipts in the audit');
    expect(await counted()).toEqual([1, 2, 5]);
    await agent.online();
    expect(agent.wire.waiting('prepare') + agent.wire.waiting('command')).toBe(0);
  });
});
