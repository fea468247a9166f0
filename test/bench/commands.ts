// Commands under load: through the API from an operator's submission to the command at its machine, and for comparison the least that
// a signed command and a verified answer can cost.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompactSign } from 'jose';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { adminClient } from '../../control-plane/signer/client.ts';
import { fromBase64url, sealingKeyFromSeed, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import type { Member } from './member.ts';
import type { Served } from './served.ts';
import { quantile, type Spread } from './table.ts';

export type CommandFigures = Spread & Readonly<{ ms: number; count: number }>;
type Api = NonNullable<Served['api']>;

/** Each member is one's turn, so many at a time; what one turn took. */
async function inTurns(
  members: readonly Member[],
  inFlight: number,
  turn: (member: Member, at: number) => Promise<number>,
) {
  const since = performance.now();
  const times: number[] = [];
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < members.length; at = next++) times.push(await turn(members[at] as Member, at));
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const ms = performance.now() - since;
  return { ms, count: times.length, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

export async function bareCommands(members: readonly Member[], inFlight: number): Promise<CommandFigures> {
  const receipt = new TextEncoder().encode(JSON.stringify({ v: 1, text: 'x'.repeat(300) }));
  const [{ keys }] = members as [Member];
  return inTurns(members, inFlight, async (member) => {
    const since = performance.now();
    const came = new Promise<number>((resolve) => {
      member.onCommand = () => resolve(performance.now() - since);
    });
    member.send('{"t":"command","op":"op_1"}');
    const ms = await came;
    const acked = new Promise<void>((resolve) => {
      member.onAck = resolve;
    });
    const token = await new CompactSign(receipt).setProtectedHeader({ alg: 'Ed25519' }).sign(keys.ek.privateKey);
    member.send(JSON.stringify({ t: 'receipt', token }));
    await acked;
    return ms;
  });
}

export async function latchkeyCommands(
  members: readonly Member[],
  api: Api,
  inFlight: number,
): Promise<CommandFigures> {
  const key = await signingKeyFromSeed(Uint8Array.from(randomBytes(32)));
  await adminClient(pathsIn(api.data).adminSocket)('operator.add', { name: 'admin', key: key.jwk });
  const ask = asker(api);
  const { jwk } = await sealingKeyFromSeed(Uint8Array.from(randomBytes(32)));
  const intents: { op: string; hash: string }[] = [];
  for (const { keys } of members) {
    const { op } = await ask('POST', '/v1/operations', { vm: keys.vm, account: { mode: 'generated' } });
    while ((await ask('GET', `/v1/operations/${op}`))['state'] !== 'PREPARED') await sleep(5);
    const secret = { mode: 'generated', recipient_jwk: jwk };
    const { intent_hash } = await ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
    intents.push({ op: String(op), hash: String(intent_hash) });
  }
  return inTurns(members, inFlight, async (member, at) => {
    const { op, hash } = intents[at] as { op: string; hash: string };
    const sig = await crypto.subtle.sign('Ed25519', key.privateKey, Uint8Array.from(fromBase64url(hash)));
    const since = performance.now();
    const came = new Promise<number>((resolve) => {
      member.onCommand = () => resolve(performance.now() - since);
    });
    const proof = { method: 'key', kid: key.kid, sig: toBase64url(new Uint8Array(sig)) };
    await ask('POST', `/v1/operations/${op}/submit`, proof);
    return came;
  });
}

function asker({ origin, key }: Api) {
  return async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const answer = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
}
