// Composition root of enrolment, which makes the identities of both halves. It runs as root, once, before the link starts.

import { chmod, chown, mkdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import type { RootPayload } from '../../protocol/root.ts';
import { controlPlaneUrls, readConfig, readTrust } from '../config.ts';
import { replaceFile } from '../durable-file.ts';
import {
  demandMadeHere,
  type EnrolledIdentity,
  fingerprintOf,
  makeKeys,
  readIdentity,
  readKeys,
  writeIdentity,
} from '../executor/identity.ts';
import { here } from '../host/main.ts';
import { reconnectDelayMs } from '../link/backoff.ts';
import { enrol } from '../link/enrol.ts';
import { readFactsInChild } from '../link/facts-child.ts';
import { makeLinkKey, writeLinkIdentity } from '../link/identity.ts';
import {
  dropJoinToken,
  exposedTokens,
  hasJoinToken,
  type JoinToken,
  readJoinToken,
  tokenPlaces,
} from '../link/join-token.ts';
import { bringBack, setAside } from '../link/other-machine.ts';
import type { Address } from '../link/socket.ts';
import { hashInstance, hashMachine } from '../machine.ts';
import { wordOf, writeNote } from '../notes.ts';
import { paths } from '../paths.ts';
import type { Here, Machine, Owner } from '../ports/host.ts';
import { RootShelf } from '../root-shelf.ts';
import { demandGuestForSources } from '../source-guard.ts';

/** Refusals that another try, later, may not meet. */
const PASSING = ['SERVER_UNREACHABLE', 'RATE_LIMITED'];

const makeLog = (): Logger => pino({ name: 'latchkey-enrol', level: process.env['LATCHKEY_LOG_LEVEL'] ?? 'info' });

/**
 * Enrols this machine once; a machine that is enrolled already is left as it is. With `retry` a control plane that cannot
 * be reached is asked again, with back-off, until it answers. Returns the agent's id.
 */
export async function runEnrol(options: EnrolOptions): Promise<string> {
  process.umask(0o077);
  demandGuestForSources();
  try {
    const agent = await enrolOnce(options);
    await rm(paths.enrolmentNote, { force: true });
    return agent;
  } catch (error) {
    if (codeOf(error)) await noteEnrolment(error as Failure, false);
    throw error;
  }
}

/** What went wrong, for `latchkey-agent status`. Where it cannot be noted it is still said and logged. */
async function noteEnrolment({ code, details }: Failure, retrying: boolean): Promise<void> {
  const at = Math.floor(Date.now() / 1000);
  const [host, reason] = [wordOf(details['host']), wordOf(details['reason'])];
  try {
    await makeState();
    await writeNote(paths.enrolmentNote, { v: 1, at, code, host, reason, retrying });
  } catch {
    // The disk, most likely: then there is no status either.
  }
}

async function makeState(): Promise<void> {
  // There it would not be SYSTEM's alone: installation makes it.
  if (process.platform === 'win32') return;
  await mkdir(paths.state, { recursive: true });
  // Whatever the umask: the link's user must get through to its own folder.
  await chmod(paths.state, 0o755);
}

type EnrolOptions = Readonly<{ retry: boolean; entry: string }>;

async function enrolOnce({ retry, entry }: EnrolOptions): Promise<string> {
  const { host, random } = await here();
  await host.demandPrivate(paths.state);
  const machine = await host.machine();
  const known = await readIdentity(paths.executor).catch(absentWhenNotEnrolled);
  if (known && (await isOwn(known, machine))) {
    await finishEnrolment(known, machine, await host.linkOwner());
    return known.agent;
  }
  const [config, { trust, root }] = await Promise.all([readConfig(), readTrust()]);
  const addresses = controlPlaneUrls(trust, config).map((url) => ({ url, caPem: trust.ca_pem }));
  const joinToken = await readJoinToken(tokens());
  await warnOfExposure();
  // Only now that there is a token: without one, putting the machine's ids right brings its identity back.
  if (known) await setAside(paths);
  try {
    return await enrolAnew({ retry, entry, host, random, machine, addresses, root, joinToken });
  } catch (error) {
    // The token was of no use: as if there had been none.
    if (known && codeOf(error)?.startsWith('JOIN_TOKEN_')) await bringBack(paths, known);
    throw error;
  }
}

type Fresh = EnrolOptions &
  Here &
  Readonly<{ machine: Machine; addresses: readonly Address[]; root: RootPayload; joinToken: JoinToken }>;

/** With keys of this machine's own; those of a try that was cut off are taken up again. */
async function enrolAnew(fresh: Fresh): Promise<string> {
  const { retry, entry, host, random, machine, addresses, root, joinToken } = fresh;
  const owner = await host.linkOwner();
  await makeState();
  const { ek, macKey } = await makeKeys(paths.executor, random);
  const ik = await makeLinkKey(await makeLinkFolder(owner), random, owner);
  const marker = await makeMarker(toBase64url(random.bytes(32)));
  const facts = await readFactsInChild(entry, host).catch(() => null);
  // The executor's shelf: this is root. The link is told of the same roots when it connects.
  const roots = new RootShelf(paths.executorRoots, root);
  const [machineSha256, instanceSha256] = [await hashMachine(machine), await hashInstance(machine)];
  const request = { ik, ek, roots, addresses, joinToken: joinToken.text, machineSha256, instanceSha256, facts, random };
  const ask = () => enrol(request);
  const answer = retry ? await askUntilAnswered(ask, makeLog()) : await ask();
  // The executor's identity is the one that counts: it is written first, and a start without the link's finishes here.
  const { agent, project } = answer;
  const join = await sha256Text(joinToken.text);
  const identity = { v: 1, agent, project, marker, machine: fingerprintOf(macKey, machine), join } as const;
  await writeIdentity(paths.executor, identity);
  await finishEnrolment(identity, machine, owner);
  if (joinToken.source === 'credential') say(KEPT);
  return identity.agent;
}

const say = (line: string) => console.error(`latchkey-agent: ${line}`);

const KEPT =
  'the join token is a credential in this machine’s settings, and cannot be deleted from here. Used up it is ' +
  'worthless; one of a group works for others as well: take it away.';

const tokens = () => tokenPlaces(paths, process.env['CREDENTIALS_DIRECTORY']);

/** A file that others can read is used all the same: nothing but its use makes it worthless to them. */
async function warnOfExposure(): Promise<void> {
  for (const reason of await exposedTokens(tokens())) say(new Failure('JOIN_TOKEN_EXPOSED', { reason }).line);
}

/** Whether the identity was made in this machine; in another one and without a token to get a new one, `CLONE_SUSPECTED`. */
async function isOwn(known: EnrolledIdentity, machine: Machine): Promise<boolean> {
  const { macKey } = await readKeys(paths.executor);
  try {
    demandMadeHere(known, macKey, machine);
    return true;
  } catch (error) {
    if (!(await hasJoinToken(tokens()))) throw error;
    return false;
  }
}

async function finishEnrolment(
  { agent, project }: Readonly<{ agent: string; project: string }>,
  machine: Machine,
  owner: Owner | null,
): Promise<void> {
  await writeLinkIdentity(paths.link, { agent, project }, machine, owner);
  await dropJoinToken(tokens());
}

async function askUntilAnswered<T>(ask: () => Promise<T>, log: Logger): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      const code = codeOf(error);
      if (!code || !PASSING.includes(code)) throw error;
      log.warn({ code, attempt }, 'not enrolled yet');
      await noteEnrolment(error as Failure, true);
      await sleep(reconnectDelayMs(attempt, Math.random()));
    }
  }
}

function absentWhenNotEnrolled(error: unknown): null {
  if (codeOf(error) === 'NOT_ENROLLED') return null;
  throw error;
}

/** Writes the marker of this root, or keeps the one that an earlier try wrote. */
async function makeMarker(fresh: string): Promise<string> {
  const present = await readFile(paths.marker, 'utf8').catch(() => null);
  if (present !== null && /^[A-Za-z0-9_-]{43}$/.test(present)) return present;
  await replaceFile(paths.marker, fresh);
  return fresh;
}

async function makeLinkFolder(owner: Owner | null): Promise<string> {
  await mkdir(paths.link, { recursive: true, mode: 0o700 });
  if (owner) await chown(paths.link, owner.uid, owner.gid);
  return paths.link;
}
