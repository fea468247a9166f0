// What a listener lets in: so many connections in all and of one client, a proxy's line from configured proxies and nobody else, and at
// its end what is under way and nothing new.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { type ConnectionLimits, Guard, NO_PROXY, type ProxyTrust } from '../../../control-plane/listener/guard.ts';

const MANY: ConnectionLimits = { total: 100, perAddress: 100 };
const BY_LINE: ProxyTrust = { places: ['127.0.0.1'], by: 'line' };
const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const opened: (Server | Socket)[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) 'destroy' in each ? each.destroy() : each.close();
});

type Place = Readonly<{ guard: Guard; dial: (first?: string) => Promise<Visit>; log: string[] }>;
type Visit = Readonly<{ socket: Socket; heard: () => string; ended: Promise<unknown> }>;

/** A server behind a guard that answers with the address it sees. */
async function place(
  limits: ConnectionLimits,
  trust: ProxyTrust,
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Place> {
  const log: string[] = [];
  const server = createServer((request, response) =>
    answer ? answer(request, response) : response.end(`from ${guard.addressOf(request)}`),
  );
  const guard = new Guard(server, limits, trust, pino({}, { write: (line: string) => void log.push(line) }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(server);
  const { port } = server.address() as AddressInfo;
  const dial = async (first = '') => {
    const socket = connect(port, '127.0.0.1');
    opened.push(socket);
    let heard = '';
    socket
      .on('error', () => undefined)
      .on('data', (data) => {
        heard += data.toString();
      });
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await once(socket, 'connect');
    socket.write(first);
    return { socket, heard: () => heard, ended };
  };
  return { guard, dial, log };
}

const answered = async ({ socket, heard }: Visit): Promise<string> => {
  while (!/from \S+$/.test(heard())) await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  return /from (\S+)$/.exec(heard())?.[1] ?? '';
};

describe('connections', () => {
  test('beyond those of one client are closed unanswered, and one that goes makes room', async () => {
    const { dial, log } = await place({ total: 100, perAddress: 2 }, NO_PROXY);
    const [first, second] = [await dial(GET), await dial(GET)];
    await Promise.all([answered(first), answered(second)]);
    const third = await dial(GET);
    await third.ended;
    expect(third.heard()).toBe('');
    expect(log.map((line) => JSON.parse(line))).toEqual([expect.objectContaining({ reason: 'per_address' })]);
    first.socket.destroy();
    await first.ended;
    expect(await answered(await dial(GET))).toBe('127.0.0.1');
  });

  test('beyond those of all are closed, too', async () => {
    const { dial } = await place({ total: 1, perAddress: 100 }, NO_PROXY);
    const first = await dial(GET);
    await answered(first);
    const second = await dial(GET);
    await second.ended;
    expect(second.heard()).toBe('');
  });

  test('of other clients are let in while one has too many', async () => {
    const { dial } = await place({ total: 100, perAddress: 1 }, BY_LINE);
    const line = (address: string) => `PROXY TCP4 ${address} 127.0.0.1 4711 443\r\n${GET}`;
    const first = await dial(line('192.0.2.1'));
    expect(await answered(first)).toBe('192.0.2.1');
    const again = await dial(line('192.0.2.1'));
    await again.ended;
    expect(again.heard()).toBe('');
    expect(await answered(await dial(line('192.0.2.2')))).toBe('192.0.2.2');
  });
});

describe('a proxy’s line', () => {
  test('names the client, in however many pieces it comes', async () => {
    const { dial } = await place(MANY, BY_LINE);
    const visit = await dial('PROXY TCP6 2001:db8::7 ::1');
    await new Promise((resolve) => setTimeout(resolve, 20));
    visit.socket.write(' 4711 443\r');
    await new Promise((resolve) => setTimeout(resolve, 20));
    visit.socket.write(`\n${GET}`);
    expect(await answered(visit)).toBe('2001:db8::7');
    visit.socket.write(GET);
    expect(await answered(visit)).toBe('2001:db8::7');
  });

  test('of a proxy that speaks for itself names the proxy', async () => {
    const { dial } = await place(MANY, BY_LINE);
    expect(await answered(await dial(`PROXY UNKNOWN\r\n${GET}`))).toBe('127.0.0.1');
  });

  test.each([
    GET,
    'PROXY TCP4 2001:db8::7 127.0.0.1 4711 443\r\n',
    'PROXY TCP4 192.0.2.1 127.0.0.1 4711\r\n',
    'PROXY TCP4 nobody 127.0.0.1 4711 443\r\n',
    ` PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n`,
    `PROXY UNKNOWN ${'x'.repeat(200)}\r\n`,
    'P'.repeat(200),
  ])('that is none, %j, closes the connection', async (first) => {
    const { dial } = await place(MANY, BY_LINE);
    const visit = await dial(`${first}${GET}`);
    await visit.ended;
    expect(visit.heard()).toBe('');
  });

  test('from anybody else is no line but a broken request', async () => {
    const { dial } = await place(MANY, { places: ['192.0.2.1'], by: 'line' });
    const visit = await dial(`PROXY TCP4 198.51.100.7 127.0.0.1 4711 443\r\n${GET}`);
    await visit.ended;
    expect(visit.heard()).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('the end', () => {
  test('lets a request that is under way be answered, closes who says nothing, and takes nobody new', async () => {
    let go: () => void = () => undefined;
    const { guard, dial } = await place(MANY, NO_PROXY, (_, response) => {
      go = () => response.end('from here');
    });
    const [busy, silent] = [await dial(GET), await dial()];
    await new Promise((resolve) => setTimeout(resolve, 50));
    guard.deafen();
    const emptied = guard.emptied(2_000);
    await expect(dial()).rejects.toThrow('ECONNREFUSED');
    go();
    expect(await answered(busy)).toBe('here');
    await Promise.all([emptied, busy.ended, silent.ended]);
  });

  test('waits for nobody beyond its time', async () => {
    const { guard, dial } = await place(MANY, NO_PROXY, () => undefined);
    const stuck = await dial(GET);
    await new Promise((resolve) => setTimeout(resolve, 50));
    guard.deafen();
    await guard.emptied(100);
    await stuck.ended;
    expect(stuck.heard()).toBe('');
  });
});
