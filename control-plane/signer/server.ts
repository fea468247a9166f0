// The signer's two sockets: reads requests line by line, takes them one at a time, answers each. It must never answer with
// more than a result or a code, nor let two requests overlap.

import { rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { operationId } from '../../protocol/schema.ts';
import { alarmsAfter } from './alarms.ts';
import { auditEnd, auditPage } from './audit-pages.ts';
import { AfterTurn, mailCode, passkeyOptions, registerPasskey, registrationOptions } from './challenges.ts';
import type { CommandAuthority } from './command-authority.ts';
import { mintCancel, mintCommand } from './commands.ts';
import { buildIntent, intentStatus, showIntent } from './intents.ts';
import { Notary } from './notary.ts';
import {
  addOperator,
  getPolicy,
  listOperators,
  operatorKeys,
  recoverOperator,
  removeFactor,
  setPolicy,
} from './operators.ts';
import type { SignerParts } from './parts.ts';
import type { SignerPlace } from './place.ts';
import type { HeldKey } from './ports/signer.ts';
import { proveIntent } from './proofs.ts';
import { noteRefusal } from './refusals.ts';
import { buildRelease } from './release.ts';
import {
  type AdminMethods,
  adminMethods,
  LINE_BYTES_MAX,
  type Params,
  type Result,
  requestLine,
  type SignerMethods,
  signerMethods,
} from './requests.ts';
import { takeSeen } from './seen.ts';

type Handler = (params: unknown) => Promise<unknown> | unknown;
type Handlers = ReadonlyMap<string, Handler>;
type Around = (asked: Readonly<{ method: string; params: unknown }>, work: () => unknown) => unknown;

/** A connection that says nothing for this long is closed: longer than a letter takes. */
const IDLE_MS_MAX = 15_000;

export type SignerServer = Readonly<{ close(): Promise<void> }>;

/** As handed in: the root and the key are the notary's from here on. */
type GivenParts = Omit<SignerParts, 'authority'> &
  Readonly<{ authority: Pick<CommandAuthority, 'current' | 'chain' | 'held'> }>;

export async function serveSigner(
  given: GivenParts,
  sockets: Readonly<{
    signer: string;
    admin: string;
    /** Whether the first one is for the group of its folder: the web's, where that is another user. */
    forGroup?: boolean;
    /** Where gateways and webs of other hosts ask the same. */
    network?: Exclude<SignerPlace, string> | null;
  }>,
  log: Logger,
): Promise<SignerServer> {
  const notary = new Notary(given);
  await notary.current();
  const parts: SignerParts = { ...given, authority: notary };
  // Each request goes by the newest root, and its rows are sealed by the key that this root names.
  const turns = queue();
  const inTurn: InTurn = (work) => turns(async () => notary.current().then(work));
  const desk: Desk = {
    handlers: signerHandlers(parts),
    inTurn,
    log,
    around: (asked, work) => noteRefusal(parts, asked, work),
  };
  const servers = [
    await listen(sockets.signer, sockets.forGroup ? 0o660 : 0o600, desk),
    ...(sockets.network ? [await listenToNetwork(sockets.network, desk)] : []),
    await listen(sockets.admin, 0o600, {
      handlers: adminHandlers(parts, notary, () => given.authority.held()),
      inTurn,
      log,
      around: (_, work) => work(),
    }),
  ];
  return {
    async close() {
      for (const server of servers) server.close();
      await turns(() => undefined);
    },
  };
}

type Table<M> = { [N in keyof M]: (params: Params<M, N>) => Answer<Result<M, N>> };
type Answer<R> = R | Promise<R | AfterTurn<R>>;

function signerHandlers(parts: SignerParts): Handlers {
  return handlers<SignerMethods>(signerMethods, {
    'intent.build': (params) => buildIntent(parts, params),
    'intent.prove': (params) => proveIntent(parts, params),
    'intent.show': (params) => showIntent(parts, params),
    'intent.status': (params) => intentStatus(parts, params),
    'factor.email': (params) => mailCode(parts, params),
    'factor.passkey': (params) => passkeyOptions(parts, params),
    'passkey.options': (params) => registrationOptions(parts, params),
    'passkey.register': (params) => registerPasskey(parts, params),
    'release.build': (params) => buildRelease(parts, params),
    'command.mint': (params) => mintCommand(parts, params),
    'cancel.mint': (params) => mintCancel(parts, params),
    alarms: (params) => alarmsAfter(parts, params),
    'audit.take': (params) => takeSeen(parts, params),
  });
}

function adminHandlers(parts: SignerParts, notary: Notary, held: () => Promise<HeldKey[]>): Handlers {
  return handlers<AdminMethods>(adminMethods, {
    'operator.add': (params) => addOperator(parts, params),
    'operator.list': () => listOperators(parts),
    'operator.recover': (params) => recoverOperator(parts, params),
    'operator.keys': () => operatorKeys(parts),
    'keys.held': async () => ({ keys: await held() }),
    'factor.remove': (params) => removeFactor(parts, params),
    'policy.get': () => getPolicy(parts),
    'policy.set': (params) => setPolicy(parts, params),
    'audit.rows': (params) => auditPage(parts.ledger, params),
    'audit.end': () => auditEnd(parts.ledger, notary, parts.nowS),
  });
}

/** Nothing reaches a handler that its method's schema does not let through. */
function handlers<M extends Record<string, { params: z.ZodType }>>(methods: M, table: Table<M>): Handlers {
  const names = Object.keys(table) as (keyof M & string)[];
  return new Map(
    names.map((name) => {
      const { params } = methods[name] as { params: z.ZodType };
      return [name, (given: unknown) => table[name](read(params, given) as never)];
    }),
  );
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

type Desk = Readonly<{ handlers: Handlers; inTurn: InTurn; log: Logger; around: Around }>;

async function listen(path: string, mode: number, desk: Desk): Promise<Server> {
  // A signer that was killed leaves its socket behind. The folder is private and locked by the program that starts us.
  rmSync(path, { force: true });
  const server = createServer((socket) => converse(socket, desk));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new Failure('PATH_UNWRITABLE', { path, reason: cause.code ?? 'error' }, cause)),
    );
    server.listen(path, resolve);
  });
  await chmod(path, mode);
  return server;
}

/** Whoever shows no certificate of that authority is not listened to. */
async function listenToNetwork({ host, port, tls }: Exclude<SignerPlace, string>, desk: Desk): Promise<Server> {
  const options = { ...tls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' } as const;
  const server = createTlsServer(options, (socket) => converse(socket, desk));
  server.on('tlsClientError', (error) =>
    desk.log.warn({ reason: (error as NodeJS.ErrnoException).code }, 'a stranger'),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new Failure('PORT_IN_USE', { address: `${host}:${port}`, reason: cause.code ?? 'error' }, cause)),
    );
    server.listen(port, host, resolve);
  });
  return server;
}

function converse(socket: Socket, desk: Desk): void {
  let received = '';
  socket.setEncoding('utf8');
  socket.setTimeout(IDLE_MS_MAX, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    received += chunk;
    for (let end = received.indexOf('\n'); end >= 0; end = received.indexOf('\n')) {
      const line = received.slice(0, end);
      received = received.slice(end + 1);
      void answer(line, desk).then((text) => socket.write(`${text}\n`));
    }
    if (received.length > LINE_BYTES_MAX) socket.destroy();
  });
}

async function answer(line: string, { handlers, inTurn, log, around }: Desk): Promise<string> {
  const request = requestLine.safeParse(parse(line));
  const { id = 0, method = '', params, request: scope } = request.data ?? {};
  const op = operationId.safeParse((params as { op?: unknown } | null | undefined)?.op).data;
  const about = { ...(scope === undefined ? {} : { request: scope }), ...(op === undefined ? {} : { op }), method };
  try {
    if (!request.success) throw new Failure('REQUEST_INVALID', { field: 'request' });
    const handler = handlers.get(method);
    if (!handler) throw new Failure('NOT_FOUND', { method });
    const said = await inTurn(() => around({ method, params }, () => handler(params)));
    return JSON.stringify({ id, result: said instanceof AfterTurn ? await said.work() : said });
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure('INTERNAL', {}, error);
    // A defect's own words may quote what it worked on: its kind and place are enough to find it.
    if (failure !== error)
      log.error({ ...about, code: 'INTERNAL', defect: (error as Error).stack?.split('\n')[1]?.trim() }, 'defect');
    else log.warn({ ...about, code: failure.code, details: failure.details }, 'request refused');
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
