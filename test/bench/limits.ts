// What a stranger could learn from how long an answer takes: pairs of questions that get the same answer, asked in random order, and
// whether their times can be told apart. It states what was measured; it asserts nothing.

import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { WebSocket } from 'ws';
import { signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { type Enrol, encodeFrame, type Hello, parseDownFrame } from '../../protocol/session.ts';
import { signToken } from '../../protocol/token.ts';
import { keysOf } from './machines.ts';
import { type Served, serveLatchkey } from './served.ts';
import { median, table } from './table.ts';

const RESAMPLES = 1_000;
const WARM_UP = 20;
const random32 = () => toBase64url(randomBytes(32));

/** One question in two ways; each answers how long it took, in milliseconds, and what was said. */
type Asked = Readonly<{ ms: number; answer: string }>;
type Pair = Readonly<{ name: string; ways: readonly [string, string]; ask(way: 0 | 1): Promise<Asked> }>;
type Times = readonly [number[], number[]];

export async function benchLimits(rounds: number): Promise<void> {
  const served = await serveLatchkey(1);
  try {
    const rows: string[][] = [];
    for (const pair of await pairsOf(served)) {
      process.stderr.write(`\r${pair.name.padEnd(60)}`);
      rows.push(rowOf(pair, await measured(pair, rounds)));
    }
    process.stderr.write('\n');
    console.log(`\n${table([['', 'first µs', 'second µs', 'difference', '95 % interval', 'told apart'], ...rows])}`);
    console.log(`
${rounds} of each, in random order, over loopback, where a stranger is at best. Medians; the interval of their difference is by ${RESAMPLES} resamples.
"told apart": how often one time alone says rightly which of the two it was, where 50 % is guessing. An interval around 0 means that
no difference was found with so many; it does not mean that there is none.`);
  } finally {
    await served.stop();
  }
}

async function measured({ ask, name }: Pair, rounds: number): Promise<Times> {
  const times: [number[], number[]] = [[], []];
  const answers = new Set<string>();
  for (let count = 0; count < WARM_UP; count += 1) answers.add((await ask((count % 2) as 0 | 1)).answer);
  const left: [number, number] = [rounds, rounds];
  while (left[0] + left[1] > 0) {
    const way = randomInt(left[0] + left[1]) < left[0] ? 0 : 1;
    left[way] -= 1;
    const { ms, answer } = await ask(way);
    answers.add(answer);
    times[way].push(ms * 1_000);
  }
  if (answers.size !== 1) console.log(`${name}: the answers differ: ${[...answers].join(' | ')}`);
  return times;
}

function rowOf({ name, ways }: Pair, [first, second]: Times): string[] {
  const differences = Array.from({ length: RESAMPLES }, () => median(drawn(second)) - median(drawn(first))).sort(
    (a, b) => a - b,
  );
  const at = (part: number) => (differences[Math.floor(part * (RESAMPLES - 1))] ?? Number.NaN).toFixed(0);
  const apart = Math.max(slower(first, second), 1 - slower(first, second));
  return [
    `${name}: ${ways[0]}, ${ways[1]}`,
    median(first).toFixed(0),
    median(second).toFixed(0),
    `${(median(second) - median(first)).toFixed(0)} µs`,
    `${at(0.025)} to ${at(0.975)}`,
    `${(apart * 100).toFixed(0)} %`,
  ];
}

const drawn = (values: readonly number[]) => values.map(() => values[Math.floor(Math.random() * values.length)] ?? 0);

/** How often one of the second is slower than one of the first: Mann and Whitney's U, as a part of all pairs. */
function slower(first: readonly number[], second: readonly number[]): number {
  let wins = 0;
  for (const a of first) for (const b of second) wins += b > a ? 1 : b === a ? 0.5 : 0;
  return wins / (first.length * second.length);
}

async function pairsOf({ url, api }: Served): Promise<readonly Pair[]> {
  const { origin, key } = api ?? { origin: '', key: '' };
  const machine = await keysOf(0);
  const stranger = await signingKeyFromSeed(Uint8Array.from(randomBytes(32)));
  const used = await usedToken(origin, key, url);
  const almost = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`;
  const keyring = () => `lk_${random32()}`;
  return [
    {
      name: 'API key',
      ways: ['unknown', 'all but its last sign right'],
      ask: (way) => ask(`${origin}/v1/whoami`, way === 0 ? keyring() : almost),
    },
    {
      name: 'hello',
      ways: ['of an unknown machine', 'of a known one, signed by another'],
      ask: (way) => greet(url, { ...stranger, kid: way === 0 ? stranger.kid : machine.ik.kid }, machine.agent),
    },
    {
      name: 'join token',
      ways: ['unknown', 'used'],
      ask: (way) => enrol(url, way === 0 ? used.replace(/.{20}$/, random32().slice(0, 20)) : used),
    },
  ];
}

async function ask(address: string, key: string): Promise<Asked> {
  const since = performance.now();
  const asked = request(address, { headers: { authorization: `Bearer ${key}` } });
  asked.end();
  const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { ms: performance.now() - since, answer: `${response.statusCode} ${body}` };
}

let turn = 0;
/** Each time from another address of this machine: the door counts failures by address. */
function nextAddress(): string {
  turn += 1;
  return `127.0.${1 + (Math.floor(turn / 250) % 250)}.${1 + (turn % 250)}`;
}

/** From the answer to the challenge to the end of the connection. */
function converse(url: string, answer: (sn: string) => Promise<string>): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { perMessageDeflate: false, localAddress: nextAddress() });
    let since = 0;
    let heard = '';
    ws.on('error', reject);
    ws.on('close', (code) => resolve({ ms: performance.now() - since, answer: `${heard} ${code}` }));
    ws.on('message', async (data) => {
      const frame = parseDownFrame(data as Buffer);
      if (frame.t !== 'challenge') {
        heard += frame.t === 'error' ? frame.code : frame.t;
        return;
      }
      const text = await answer(frame.sn);
      since = performance.now();
      ws.send(text);
    });
  });
}

function greet(url: string, key: Awaited<ReturnType<typeof signingKeyFromSeed>>, agent: string): Promise<Asked> {
  return converse(url, async (sn) => {
    const hello: Hello = {
      ...{ v: 1, agent, sn, an: random32(), vmin: 1, vmax: 1, root_ver: 1, boot: crypto.randomUUID(), ctr: 0 },
      ...{ jhead: null, cb: null, agent_version: '0.1.0' },
    };
    return encodeFrame({ t: 'hello', token: await signToken('lk-hello+jws', hello, key) });
  });
}

function enrol(url: string, token: string): Promise<Asked> {
  return converse(url, async (sn) => {
    const [ik, ek] = await Promise.all([1, 2].map(() => signingKeyFromSeed(Uint8Array.from(randomBytes(32)))));
    if (!ik || !ek) throw new TypeError('no keys');
    const nonce = random32();
    const payload: Enrol = {
      ...{ v: 1, join_token: token, sn, nonce, ik: ik.jwk, ek: ek.jwk, machine_sha256: random32(), facts: null },
      ek_proof: await signToken('lk-enrol-ek+jws', { v: 1, ik_kid: ik.kid, nonce }, ek),
    };
    return encodeFrame({ t: 'enrol', token: await signToken('lk-enrol+jws', payload, ik) });
  });
}

async function usedToken(origin: string, key: string, url: string): Promise<string> {
  const response = await fetch(`${origin}/v1/join-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{}',
  });
  const { token } = (await response.json()) as { token: string };
  await enrol(url, token);
  return token;
}
