// A letter to the owner of a machine that was reset, over a real SMTP server: what it says, that it is sent once, that it waits
// for a mail server that is away, and who is written to.

import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readMailOptions } from '../../../control-plane/config/mail.ts';
import { sendLetters } from '../../../control-plane/letters/postman.ts';
import { openMailer } from '../../../control-plane/signer/mailer.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

type Sent = Readonly<{ to: string[]; text: string }>;

let world: World;
const received: Sent[] = [];
let server: SMTPServer;
let port = 0;
beforeAll(async () => {
  world = await World.start();
  server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, { envelope }, done) {
      let text = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      stream.on('end', () => {
        received.push({ to: envelope.rcptTo.map(({ address }) => address), text });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.server.address() as AddressInfo).port;
});
afterEach(() => received.splice(0));
afterAll(async () => {
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await world.stop();
});

async function look(at = port): Promise<void> {
  const options = readMailOptions({ smtpUrl: `smtp://127.0.0.1:${at}`, mailFrom: 'latchkey@example.org' }, {});
  if (!options) throw new Error('no options');
  const mailer = await openMailer(options);
  const origin = () => 'https://latchkey.example';
  await sendLetters({ store: world.store, mailer, origin, log: world.log });
}

const waiting = () => world.store.db.selectFrom('letters').selectAll().execute();
const own = async (agent: ScriptedAgent, email: string | null) => {
  const { id } = await world.vmOf(agent);
  return world.ask('POST', `/v1/vms/${id}/owner`, { email });
};

async function reset(agent: ScriptedAgent): Promise<string> {
  const { op } = await world.sent(agent);
  await agent.carryOut(op);
  await world.until(op, 'DONE');
  return op;
}

describe('the owner of a machine', () => {
  test('is told of a reset, once: what, when, by whom, how it ended, and what to do', async () => {
    const agent = await world.machine('shop-1');
    expect((await own(agent, 'owner@example.org')).body).toEqual({ email: 'owner@example.org' });
    const op = await reset(agent);
    await look();
    await look();
    expect(received.map(({ to }) => to)).toEqual([['owner@example.org']]);
    const text = received[0]?.text.replaceAll('=\r\n', '') ?? '';
    const { id } = await world.vmOf(agent);
    const { approved_at } = await world.operation(op);
    for (const part of ['shop-1', id, op, 'admin', 'DONE', 'the password of the administrator', 'If you did not ask']) {
      expect(text).toContain(part);
    }
    expect(text).toContain(String(approved_at).slice(0, 19));
    expect(text).toMatch(/^Subject: Password reset on shop-1: DONE\r?$/m);
    expect(await waiting()).toEqual([]);
    await agent.offline();
  });

  test('is told later where the mail server is away, and by one program where several look', async () => {
    const agent = await world.machine('shop-2');
    await own(agent, 'owner@example.org');
    await reset(agent);
    await look(1);
    expect(await waiting()).toMatchObject([{ attempts: 1 }]);
    await look();
    expect(received).toEqual([]);
    await world.store.db.updateTable('letters').set({ next_at: 0 }).execute();
    await Promise.all([look(), look()]);
    expect(received).toHaveLength(1);
    await agent.offline();
  });

  test('is not told of what was not done: an operation that was cancelled', async () => {
    const agent = await world.machine('shop-3');
    await own(agent, 'owner@example.org');
    const { op } = await world.draft(agent);
    await world.ask('POST', `/v1/operations/${op}/cancel`, {});
    await world.until(op, 'CANCELLED');
    expect(await waiting()).toEqual([]);
    await agent.offline();
  });

  test('who is none any more is not told, and no machine has one to begin with', async () => {
    const agent = await world.machine('shop-4');
    const { id } = await world.vmOf(agent);
    expect((await world.ask('GET', `/v1/vms/${id}/owner`)).body).toEqual({ email: null });
    await own(agent, 'owner@example.org');
    await own(agent, null);
    await reset(agent);
    await look();
    expect([received, await waiting()]).toEqual([[], []]);
    const notes = (await world.events(id)).filter(({ type }) => type === 'vm.owner');
    expect(notes.map(({ data }) => data['named'])).toEqual([true, false]);
    expect(JSON.stringify(await world.events())).not.toContain('owner@example.org');
    await agent.offline();
  });

  test.each(['nobody', 'a@b\r\nBcc: eve@example.org', 'a@b, c@d', '', 'x'.repeat(300)])('is no %j', async (email) => {
    const agent = await world.enrolled();
    expect((await own(agent, email)).body['code']).toBe('REQUEST_INVALID');
  });
});
