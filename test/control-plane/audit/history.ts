// A history worth an audit, made by the real program with a scripted machine: resets that were carried out, one with receipts
// that came too late, one that the machine refused, wrong codes, keys that were rotated; and the export of it.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOTP, Secret as TotpSecret } from 'otpauth';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { adminClient } from '../../../control-plane/signer/client.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import { SoftwarePasskey } from '../../protocol/software-passkey.ts';
import { collect, type Run, spawnMain } from '../cli/programs.ts';
import { ServeProgram } from '../program.ts';
import { ScriptedAgent } from '../scripted-agent.ts';

const seed = () => Uint8Array.from(randomBytes(32));

export class History {
  readonly program = new ServeProgram();
  /** What must be in no export. */
  readonly secrets: string[] = [];
  #key: SigningKey | undefined;

  async make(): Promise<this> {
    await this.program.start();
    this.#key = await signingKeyFromSeed(seed());
    await this.admin('operator.add', { name: 'admin', key: this.#key.jwk });
    const agent = await this.#machine();
    await this.#lateReceipts(agent);
    await this.#refusedByCode(agent);
    await this.latchkey('keys', 'rotate', 'command');
    await this.#byPasskey(agent);
    await this.latchkey('operator', 'policy', '--methods', 'passkey,key,totp,recovery');
    await agent.offline();
    // What the gateway has is brought to the signer without anybody's waiting for it.
    await this.until(async () => (await this.rowsOf('receipt.recorded')).length === 11, 'the receipts in the audit');
    return this;
  }

  get admin() {
    return adminClient(pathsIn(this.program.data).adminSocket);
  }

  async rowsOf(kind: string) {
    return (await this.admin('audit.rows', { kind, limit: 500 })).rows;
  }

  latchkey(...parameters: string[]): Promise<Run> {
    return collect(spawnMain(parameters, { PATH: process.env['PATH'], LATCHKEY_DATA: this.program.data }));
  }

  /** Lines of an export made now. */
  async exported(name: string): Promise<string[]> {
    const file = join(this.program.data, name);
    const run = await this.latchkey('audit', 'export', '-o', file);
    if (run.code !== 0) throw new Error(run.stderr);
    return readFileSync(file, 'utf8').trimEnd().split('\n');
  }

  async until(probe: () => Promise<boolean>, what: string): Promise<void> {
    for (const end = performance.now() + 20_000; performance.now() < end; ) {
      if (await probe()) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`waited in vain for ${what}`);
  }

  remove(): Promise<void> {
    return this.program.remove();
  }

  async #machine(): Promise<ScriptedAgent> {
    const agent = await ScriptedAgent.make(this.program.agentUrl);
    const { token } = (await this.program.ask('POST', '/v1/join-tokens')).body;
    this.secrets.push(String(token), this.program.apiKey);
    await agent.enrol(String(token));
    return agent.online();
  }

  /** Done, after a receipt that came before the one before it. */
  async #lateReceipts(agent: ScriptedAgent): Promise<void> {
    const op = await this.#draft(agent);
    await this.#submit(op, await this.#intent(op), async (hash) => ({ method: 'key', ...(await this.#signed(hash)) }));
    await agent.takeCommand();
    await agent.report(op, 'ACCEPTED', { detail: { account: 'root' } });
    const [set, reboot] = [await agent.write(op, 'PASSWORD_SET'), await agent.write(op, 'REBOOTING')];
    agent.sendReceipt(reboot);
    await this.until(async () => (await this.rowsOf('receipt.gap')).length === 1, 'the gap');
    for (const token of [set, reboot]) agent.sendReceipt(token);
    await agent.offline();
    agent.boot = crypto.randomUUID();
    await agent.connect();
    await agent.report(op, 'BOOTED');
    await agent.report(op, 'DONE', { detail: { verified: { account: true, vnc: 'absent', reboot: true } } });
    agent.wire.send({ t: 'synced', open: null });
  }

  /** Proven by a code, after a wrong one and with codes that nobody used; refused by the machine. */
  async #refusedByCode(agent: ScriptedAgent): Promise<void> {
    const { totp_uri } = await this.admin('operator.add', { name: 'admin' });
    const secret = new URL(totp_uri ?? '').searchParams.get('secret') ?? '';
    const { recovery_codes } = await this.admin('operator.add', { name: 'admin', recovery: true });
    await this.admin('operator.add', { name: 'admin', email: 'canary@mail.example' });
    const code = new TOTP({ secret: TotpSecret.fromBase32(secret) }).generate();
    this.secrets.push(secret, ...recovery_codes, 'canary@mail.example', `"${code}"`);
    const op = await this.#draft(agent);
    const hash = await this.#intent(op);
    const wrong = code === '000000' ? '111111' : '000000';
    await this.program.ask('POST', `/v1/operations/${op}/submit`, { method: 'totp', code: wrong });
    await this.#submit(op, hash, async () => ({ method: 'totp', code }));
    await agent.takeCommand();
    await agent.report(op, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
  }

  /** Proven by a passkey, signed by the new key. */
  async #byPasskey(agent: ScriptedAgent): Promise<void> {
    const origin = `http://localhost:${this.program.port}`;
    const passkey = new SoftwarePasskey({ origin, rpId: 'localhost' });
    const { passkey_invitation: invitation } = await this.admin('operator.add', { name: 'admin', passkey: true });
    this.secrets.push(String(invitation));
    const asked = await this.program.ask('POST', '/v1/passkeys/options', { invitation });
    const { options } = asked.body as { options: { challenge: string } };
    const response = passkey.register(options.challenge);
    await this.program.ask('POST', '/v1/passkeys', { invitation, response });
    const op = await this.#draft(agent);
    await this.#submit(op, await this.#intent(op), async (hash) => ({
      method: 'passkey',
      response: passkey.assert(hash),
    }));
    await agent.takeCommand();
    await agent.carryOut(op);
  }

  async #draft(agent: ScriptedAgent): Promise<string> {
    const { items } = (await this.program.ask('GET', '/v1/vms')).body as { items: { id: string }[] };
    const made = await this.program.ask('POST', '/v1/operations', { vm: items[0]?.id, account: { mode: 'generated' } });
    const op = String(made.body['op']);
    await agent.answerPrepare();
    await this.until(
      async () => (await this.program.ask('GET', `/v1/operations/${op}`)).body['state'] === 'PREPARED',
      'an executor',
    );
    return op;
  }

  async #intent(op: string): Promise<string> {
    const { jwk } = await sealingKeyFromSeed(seed());
    const secret = { mode: 'generated', recipient_jwk: jwk };
    const { body } = await this.program.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
    return String(body['intent_hash']);
  }

  async #submit(op: string, hash: string, proof: (hash: string) => Promise<object>): Promise<void> {
    const { status, body } = await this.program.ask('POST', `/v1/operations/${op}/submit`, await proof(hash));
    if (status >= 300) throw new Error(`not approved: ${JSON.stringify(body)}`);
  }

  async #signed(hash: string): Promise<{ kid: string; sig: string }> {
    const { kid, privateKey } = this.#key as SigningKey;
    const sig = await crypto.subtle.sign('Ed25519', privateKey, Uint8Array.from(fromBase64url(hash)));
    return { kid, sig: toBase64url(new Uint8Array(sig)) };
  }
}
