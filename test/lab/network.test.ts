// The guest's one wire: what it reaches through it, and what it does not.
import { createServer, type Socket } from 'node:net';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { bootGuest, output } from './fixture.ts';
import { destroyAll } from './guest.ts';
import { FORWARD_PORT } from './services.ts';

const FETCH = `import socket
s=socket.create_connection(("localhost", 7443)); print(b"".join(iter(lambda: s.recv(99), b"")).decode())`;

const SHOUT = `import socket
s=socket.create_server(("127.0.0.1", 5999)); c,_=s.accept(); c.sendall(c.recv(99).upper())`;

/** A port of the runner, closed with all its connections when the test ends. */
async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => socket.destroy()));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

afterAll(destroyAll);

describe('the network is one wire', () => {
  test('it leads where the supervisor says, and nowhere once it is cut', async () => {
    const guest = await bootGuest('wire');
    const fetch = async () => (await guest.exec(['python3', '-c', FETCH])).stdout.trim();
    guest.connectTo(await listen((socket) => socket.end('from outside')));
    await guest.untilListening(FORWARD_PORT);
    expect(await fetch()).toBe('from outside');
    await guest.cutNetwork();
    expect(await fetch()).toBe('');
    await guest.restoreNetwork();
    expect(await fetch()).toBe('from outside');
  });

  test('a cut ends the connections that are open', async () => {
    const guest = await bootGuest('cutting');
    const opened = Promise.withResolvers<void>();
    guest.connectTo(await listen((socket) => socket.write('open\n', () => opened.resolve())));
    await guest.untilListening(FORWARD_PORT);
    const child = await guest.spawn(['python3', '-c', FETCH]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    await opened.promise;
    await guest.cutNetwork();
    expect(await ended).toBeTypeOf('number');
  });

  test('a network that was cut stays cut over a reboot', async () => {
    const guest = await bootGuest('still-cut');
    guest.connectTo(await listen((socket) => socket.end('from outside')));
    await guest.cutNetwork();
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    await guest.untilListening(FORWARD_PORT);
    expect((await guest.exec(['python3', '-c', FETCH])).stdout.trim()).toBe('');
  });

  test('there is nothing else in it', async () => {
    const guest = await bootGuest('alone');
    expect(await output(guest, "sed 's/:.*//' /proc/net/dev | tail -n +3 | xargs")).toBe('lo');
    const port = await listen((socket) => socket.end());
    const { code } = await guest.exec([
      'python3',
      '-c',
      `import socket; socket.create_connection(("127.0.0.1", ${port}))`,
    ]);
    expect(code).not.toBe(0);
  });

  test('a test reaches a port of the guest', async () => {
    const guest = await bootGuest('inward');
    await guest.spawn(['python3', '-c', SHOUT]);
    await guest.untilListening(5999);
    const socket = await guest.connect(5999);
    socket.write('hello');
    expect(await new Promise((resolve) => socket.once('data', (bytes) => resolve(String(bytes))))).toBe('HELLO');
    socket.destroy();
    await expect(guest.connect(5998)).rejects.toThrow(/Connection refused/);
  });
});
