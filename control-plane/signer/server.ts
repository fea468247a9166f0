// The signer's two sockets: reads requests line by line, takes them one at a time, answers each. It must never answer with
// more than a result or a code, nor let two requests overlap.

import { rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { type CommandParts, mintCancel, mintCommand } from './commands.ts';
import { buildIntent, intentStatus, proveIntent } from './intents.ts';
import { addOperator, listOperators, removeFactor } from './operators.ts';
import { adminMethods, LINE_BYTES_MAX, requestLine, signerMethods } from './requests.ts';

type Handler = (params: unknown) => Promise<unknown> | unknown;
type Handlers = ReadonlyMap<string, Handler>;

/** A connection that says nothing for this long is closed. */
const IDLE_MS_MAX = 10_000;

export type SignerServer = Readonly<{ close(): Promise<void> }>;

export async function serveSigner(
  parts: CommandParts,
  sockets: Readonly<{ signer: string; admin: string }>,
  log: Logger,
): Promise<SignerServer> {
  const inTurn = queue();
  const servers = [
    await listen(sockets.signer, signerHandlers(parts), inTurn, log),
    await listen(sockets.admin, adminHandlers(parts), inTurn, log),
  ];
  return {
    async close() {
      for (const server of servers) server.close();
      await inTurn(() => undefined);
    },
  };
}

function signerHandlers(parts: CommandParts): Handlers {
  const { 'intent.build': build, 'intent.prove': prove, 'intent.status': status } = signerMethods;
  const { 'command.mint': mint, 'cancel.mint': cancel } = signerMethods;
  return new Map<string, Handler>([
    ['intent.build', (params) => buildIntent(parts, read(build.params, params))],
    ['intent.prove', (params) => proveIntent(parts, read(prove.params, params))],
    ['intent.status', (params) => intentStatus(parts, read(status.params, params))],
    ['command.mint', (params) => mintCommand(parts, read(mint.params, params))],
    ['cancel.mint', (params) => mintCancel(parts, read(cancel.params, params))],
  ]);
}

function adminHandlers(parts: CommandParts): Handlers {
  const { 'operator.add': add, 'operator.list': list, 'factor.remove': remove } = adminMethods;
  return new Map<string, Handler>([
    ['operator.add', (params) => addOperator(parts, read(add.params, params))],
    [
      'operator.list',
      (params) => {
        read(list.params, params);
        return listOperators(parts);
      },
    ],
    ['factor.remove', (params) => removeFactor(parts, read(remove.params, params))],
  ]);
}

/** The request's parameters, or `REQUEST_INVALID` naming the first field that is wrong. */
function read<S extends z.ZodType>(schema: S, params: unknown): z.output<S> {
  const result = schema.safeParse(params);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new Failure('REQUEST_INVALID', { field: issue?.path.map(String).join('.') ?? '' });
}

type InTurn = <T>(work: () => T | Promise<T>) => Promise<T>;

function queue(): InTurn {
  let tail: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = tail.then(work);
    tail = turn.catch(() => undefined);
    return turn;
  };
}

async function listen(path: string, handlers: Handlers, inTurn: InTurn, log: Logger): Promise<Server> {
  // A signer that was killed leaves its socket behind. The folder is private and locked by the program that starts us.
  rmSync(path, { force: true });
  const server = createServer((socket) => converse(socket, handlers, inTurn, log));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new Failure('PATH_UNWRITABLE', { path, reason: cause.code ?? 'error' }, cause)),
    );
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return server;
}

function converse(socket: Socket, handlers: Handlers, inTurn: InTurn, log: Logger): void {
  let received = '';
  socket.setEncoding('utf8');
  socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    received += chunk;
    for (let end = received.indexOf('\n'); end >= 0; end = received.indexOf('\n')) {
      const line = received.slice(0, end);
      received = received.slice(end + 1);
      void inTurn(() => answer(line, handlers, log)).then((text) => socket.write(`${text}\n`));
    }
    if (received.length > LINE_BYTES_MAX) socket.destroy();
  });
}

async function answer(line: string, handlers: Handlers, log: Logger): Promise<string> {
  let id = 0;
  try {
    const request = requestLine.safeParse(parse(line));
    if (!request.success) throw new Failure('REQUEST_INVALID', { field: 'request' });
    id = request.data.id;
    const handler = handlers.get(request.data.method);
    if (!handler) throw new Failure('NOT_FOUND', { method: request.data.method });
    return JSON.stringify({ id, result: await handler(request.data.params) });
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure('INTERNAL', {}, error);
    // A defect's own words may quote what it worked on: its kind and place are enough to find it.
    if (failure !== error)
      log.error({ code: 'INTERNAL', defect: (error as Error).stack?.split('\n')[1]?.trim() }, 'defect');
    else log.warn({ code: failure.code, details: failure.details }, 'request refused');
    return JSON.stringify({ id, error: { code: failure.code, details: failure.details } });
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
