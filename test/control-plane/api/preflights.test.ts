// Many machines asked at once: a line for each as it answers, so many at a time, and no more of them once nobody listens.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PreflightLine } from '../../../control-plane/api/schemas-preflight.ts';
import { signToken } from '../../../protocol/token.ts';
import { samplePreflight } from '../../protocol/samples.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

async function machine(name: string): Promise<ScriptedAgent> {
  const agent = await (await world.enrolled(name)).online(null, { vmax: 2 });
  await world.ask('PATCH', `/v1/vms/${name}`, { labels: { env: 'prod' } });
  return agent;
}

async function answer(agent: ScriptedAgent): Promise<void> {
  const { nonce, now } = await agent.wire.next('preflight');
  const payload = { ...samplePreflight(), agent: agent.agent, nonce, now };
  agent.wire.send({ t: 'preflight', token: await signToken('lk-preflight+jws', payload, agent.ek) });
}

function ask(body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${world.origin}/v1/preflights`, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

const asked = (agents: readonly ScriptedAgent[]) => agents.filter((agent) => agent.wire.waiting('preflight') > 0);

test('each machine has its line, with its own signed answer or with what keeps it from one', async () => {
  const agents = [await machine('web'), await machine('db')];
  await world.enrolled('away');
  await world.ask('PATCH', '/v1/vms/away', { labels: { env: 'prod' } });
  const [response] = await Promise.all([ask({ label: 'env=prod' }), ...agents.map(answer)]);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  const lines = (await response.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PreflightLine);
  const of = (name: string) => lines.find(({ vm_name }) => vm_name === name);
  expect(lines).toHaveLength(3);
  expect(of('away')).toMatchObject({ code: 'AGENT_OFFLINE', can: { account: false, vnc: false }, answer: null });
  for (const name of ['web', 'db']) {
    expect(of(name)).toMatchObject({ code: null, answer: { vm_name: name, operator: 'admin' } });
    expect(of(name)?.answer?.token).toMatch(/^ey/);
  }
});

test('so many at a time, and none once the connection is closed', async () => {
  const agents = [await machine('a'), await machine('b'), await machine('c')];
  const end = new AbortController();
  const response = await ask({ vms: ['a', 'b', 'c'], concurrency: 1 }, end.signal);
  const reader = (response.body ?? new ReadableStream()).getReader();
  const first = await world.eventually(async () => asked(agents)[0] ?? null, 'one to be asked');
  expect(asked(agents)).toEqual([first]);
  await answer(first);
  expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^\{.*\}\n$/);
  const second = await world.eventually(async () => asked(agents)[0] ?? null, 'the next one to be asked');
  end.abort();
  await new Promise((resolve) => setTimeout(resolve, 100));
  await answer(second);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(asked(agents)).toEqual([]);
});

test('what chooses no machine, or in two ways, is refused', async () => {
  const code = async (body: object) => ((await (await ask(body)).json()) as { code: string }).code;
  expect(await code({ label: 'env=test' })).toBe('NOT_FOUND');
  expect(await code({})).toBe('REQUEST_INVALID');
  expect(await code({ label: 'env', vms: ['web'] })).toBe('REQUEST_INVALID');
});
