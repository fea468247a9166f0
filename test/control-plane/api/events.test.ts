// Server-sent events: whatever connection broke where, a reader that says where it stopped misses nothing and sees nothing
// twice.

import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { eventView } from '../../../control-plane/api/schemas.ts';
import { appendEvent } from '../../../control-plane/store/events.ts';
import { insertProject, putMember } from '../../../control-plane/store/projects.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine();
});
afterEach(() => world.stop());

type Line = Readonly<{ id: number; type: string; data: ReturnType<typeof eventView.parse> }>;

/** Reads a stream until `count` events have come, then breaks the connection. `onOpen` is called once its head is there. */
async function read(path: string, count: number, lastEventId?: number, onOpen = () => {}): Promise<Line[]> {
  const controller = new AbortController();
  const response = await fetch(`${world.origin}${path}`, {
    headers: {
      authorization: `Bearer ${world.apiKey}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) }),
    },
    signal: controller.signal,
  });
  onOpen();
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  expect(response.headers.get('cache-control')).toBe('no-store');
  const lines: Line[] = [];
  let text = '';
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0 && lines.length < count; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const [, id, type, data] = /^id: (\d+)\nevent: (.+)\ndata: (.+)$/.exec(block) ?? [];
      if (id && type && data) lines.push({ id: Number(id), type, data: eventView.parse(JSON.parse(data)) });
    }
    if (lines.length >= count) break;
  }
  controller.abort();
  return lines;
}

describe('an event stream', () => {
  test('of an operation starts at its first event and goes on as things happen', async () => {
    const draft = await world.draft(agent);
    const reading = read(`/v1/operations/${draft.op}/events`, 4);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    await world.approve(draft);
    const lines = await reading;
    expect(lines.map(({ type }) => type)).toEqual([
      'operation.created',
      'operation.state',
      'operation.approved',
      'operation.state',
    ]);
    expect(lines.every(({ data, id, type }) => data.id === id && data.type === type && data.op === draft.op)).toBe(
      true,
    );
    expect(lines.at(-1)?.data.data).toMatchObject({ from: 'PREPARED', state: 'SENT', code: null, n: null });
  });

  test('broken anywhere resumes without loss or repetition', async () => {
    const { op } = await world.sent(agent);
    await agent.carryOut(op);
    await world.until(op, 'DONE');
    const path = `/v1/operations/${op}/events`;
    const all = (await world.events(op)).length;
    const whole = await read(path, all);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 6 }), async (cuts) => {
        const lines: Line[] = [];
        for (const cut of cuts) {
          const want = Math.min(cut, all - lines.length);
          if (want > 0) lines.push(...(await read(path, want, lines.at(-1)?.id)));
        }
        if (lines.length < all) lines.push(...(await read(path, all - lines.length, lines.at(-1)?.id)));
        expect(lines).toEqual(whole);
      }),
      { numRuns: 15 },
    );
  });

  test('of everything starts with the next event, or after the one that was named', async () => {
    const fromStart = await read('/v1/events?last_event_id=0', 2);
    expect(fromStart.map(({ type }) => type)).toEqual(['join_token.created', 'vm.enrolled']);
    const open = Promise.withResolvers<void>();
    const reading = read('/v1/events', 1, undefined, open.resolve);
    await open.promise;
    const draft = await world.draft(agent);
    expect((await reading).map(({ type, data }) => [type, data.op])).toEqual([['operation.created', draft.op]]);
  });

  test('of one machine shows that machine alone', async () => {
    const other = await world.machine();
    const [{ id }, draft] = [await world.vmOf(agent), await world.draft(other)];
    expect(draft.vm).not.toBe(id);
    await world.draft(agent);
    const lines = await read(`/v1/vms/${id}/events?last_event_id=0`, 3);
    expect(lines.map(({ type }) => type)).toEqual(['vm.enrolled', 'vm.online', 'operation.created']);
  });

  test('of one project shows that project alone, and resumes there', async () => {
    await world.draft(agent);
    await world.store.write(async (trx) => {
      await insertProject(trx, 'other', world.now);
      await putMember(trx, { operator: 'admin', project: 'other', role: 'viewer' }, world.now);
      const event = { at: world.now, vm: null, op: null, type: 'join_token.revoked', data: {} };
      await appendEvent(trx, { ...event, project: 'other' });
    });
    await world.joinToken();
    const whole = await read('/v1/projects/default/events?last_event_id=0', 5);
    expect(whole.map(({ type }) => type)).toEqual([
      'join_token.created',
      'vm.enrolled',
      'vm.online',
      'operation.created',
      'join_token.created',
    ]);
    expect(await read('/v1/projects/default/events', 2, whole[2]?.id)).toEqual(whole.slice(3));
    const other = await read('/v1/projects/other/events?last_event_id=0', 1);
    expect(other.map(({ type }) => type)).toEqual(['join_token.revoked']);
    const { body } = await world.ask('GET', '/v1/projects/nowhere/events');
    expect(body['code']).toBe('NOT_FOUND');
  });

  test('beats though other machines’ events keep waking it', async () => {
    const { id } = await world.vmOf(agent);
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const response = await fetch(`${world.origin}/v1/vms/${id}/events`, {
        headers: { authorization: `Bearer ${world.apiKey}` },
      });
      const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader();
      expect((await reader.read()).value).toBe(': latchkey\n\n');
      for (let count = 0; count < 4; count += 1) {
        vi.advanceTimersByTime(5_000);
        await world.joinToken();
      }
      const beat = await Promise.race([reader.read(), sleep(2_000, null)]);
      expect(beat?.value).toBe(': heartbeat\n\n');
      await reader.cancel();
    } finally {
      vi.useRealTimers();
    }
  });

  test('needs a key, and a number for its place', async () => {
    expect((await world.ask('GET', '/v1/events', undefined, { authorization: '' })).status).toBe(401);
    expect((await world.ask('GET', '/v1/events?last_event_id=x')).body['code']).toBe('REQUEST_INVALID');
  });

  test('ends when the server stops', async () => {
    const open = Promise.withResolvers<void>();
    const reading = read('/v1/events', 1_000, undefined, open.resolve).catch(() => []);
    await open.promise;
    await world.stop();
    expect((await reading).length).toBeLessThan(1_000);
    world = await World.start();
  });
});
