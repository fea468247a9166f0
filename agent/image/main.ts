// Composition root of the commands for whoever sits at the machine: `doctor` and `status`, which are root's, for they read
// what is root's alone, and change nothing; `install`, which sets up what no package does; and `seal`, for image builders.

import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { pino } from 'pino';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { canReset, checkText } from '../../protocol/preflight.ts';
import { openRoot } from '../../protocol/root.ts';
import { parseTrust } from '../../protocol/trust.ts';
import { imageFilesAt, isOwnRoot } from '../adapters/image-files-linux.ts';
import { readChain } from '../adapters/journal-chain.ts';
import { procAt } from '../adapters/proc.ts';
import { type AgentConfig, controlPlaneUrls, DEFAULT_CONFIG, readConfig, readTrust } from '../config.ts';
import { type Entry, openOperation, readLedger } from '../core/ledger.ts';
import type { Tried } from '../core/trouble.ts';
import { tryTo } from '../executor/conditions.ts';
import { demandMadeHere, type EnrolledIdentity, readIdentity, readKeys } from '../executor/identity.ts';
import { machineOf } from '../executor/main.ts';
import type { Machinery } from '../executor/parts.ts';
import type { Lookout } from '../executor/preflight.ts';
import { ledgerOf } from '../executor/recorder.ts';
import { here } from '../host/main.ts';
import { executorDoor } from '../link/executor-door.ts';
import { exposedTokens, tokenPlaces } from '../link/join-token.ts';
import { enrolmentNote, type LinkNote, linkNote, readNote } from '../notes.ts';
import { paths } from '../paths.ts';
import type { Host } from '../ports/host.ts';
import type { ImageFiles } from '../ports/image-files.ts';
import { RootShelf } from '../root-shelf.ts';
import { demandGuestForSources } from '../source-guard.ts';
import { AGENT_VERSION } from '../version.ts';
import { doctorLines, examineHere } from './doctor.ts';
import { findOwnThings, newestLearnedRoot } from './own-things.ts';
import { findRemnants, type Remnant } from './remnants.ts';
import { groupOwn, type OpenOperation, seal } from './seal.ts';
import { reportJson, reportLines, type SealReport } from './seal-report.ts';
import { isConnected, type Status, statusJson, statusLines } from './status.ts';

/** As an operation that was refused. */
const REFUSED = 3;
const TRUST_BYTES_MAX = 1_048_576;
/** Commands whose processes write state. */
const RESIDENT = ['run', 'executor', 'enrol'];

export async function runDoctor({ json, entry }: { json: boolean; entry: string }): Promise<void> {
  demandRoot();
  demandGuestForSources();
  const { host, random } = await here();
  const [config, trust, keys, identity, note, exposed] = await Promise.all([
    tryTo(() => readConfig()),
    tryTo(() => readTrust()),
    tryTo(() => readKeys(paths.executor)),
    tryTo(() => readOwnIdentity(host)),
    readNote(paths.linkNote, linkNote),
    exposedTokens(tokenPlaces(paths, undefined)),
  ]);
  const settings = 'value' in config ? config.value : DEFAULT_CONFIG;
  const addresses = await tryTo(() => {
    if ('code' in trust) throw new Failure(trust.code, trust.details);
    const { trust: file } = trust.value;
    return controlPlaneUrls(file, settings).map((url) => ({ url, caPem: file.ca_pem }));
  });
  const macKey = 'value' in keys ? keys.value.macKey : new Uint8Array(32);
  const marker = 'value' in identity ? identity.value.marker : null;
  const checks = await examineHere({
    config,
    keys,
    identity,
    addresses,
    note,
    linkRuns: await isAlive(host, note),
    nowS: await serverNow(host, note),
    exposed,
    lookout: await lookoutOf({ settings, macKey, marker, shelf: shelfOf(trust) }),
    executor: executorDoor(entry, host.environment),
    random,
  });
  const can = canReset(checks);
  if (json) console.log(JSON.stringify({ can, checks: checks.map((check) => ({ ...check, ...checkText(check) })) }));
  else for (const line of doctorLines(checks)) console.log(line);
  process.exit(can.account && can.vnc ? 0 : REFUSED);
}

type Sight = Readonly<{
  settings: AgentConfig;
  macKey: Uint8Array;
  marker: string | null;
  shelf: Tried<RootShelf>;
}>;

async function lookoutOf({ settings, macKey, marker, shelf }: Sight): Promise<Lookout> {
  const machine = await machineOf({ config: settings, macKey, marker: marker ?? '' });
  const { environment } = machine;
  return {
    ...machine,
    // Before enrolment there is no marker to compare with.
    ...(marker === null
      ? { environment: { observe: async () => ({ ...(await environment.observe()), marker: 'same' }) } }
      : {}),
    roots: {
      newest: async () => {
        if ('code' in shelf) throw new Failure(shelf.code, shelf.details);
        return shelf.value.newest();
      },
      add: async () => {
        throw new Failure('INTERNAL', { reason: 'looks_only' });
      },
    },
    log: pino({ name: 'latchkey-doctor', level: process.env['LATCHKEY_LOG_LEVEL'] ?? 'fatal' }, pino.destination(2)),
  };
}

function shelfOf(trust: Tried<Awaited<ReturnType<typeof readTrust>>>): Tried<RootShelf> {
  return 'code' in trust ? trust : { value: new RootShelf(paths.executorRoots, trust.value.root) };
}

export async function runStatus({ json }: { json: boolean }): Promise<void> {
  demandRoot();
  const { host } = await here();
  const [identity, trust, enrolment, link] = await Promise.all([
    tryTo(() => readOwnIdentity(host)),
    tryTo(() => readTrust()),
    readNote(paths.enrolmentNote, enrolmentNote),
    readNote(paths.linkNote, linkNote),
  ]);
  const shelf = shelfOf(trust);
  const machinery = await machineOf({ config: DEFAULT_CONFIG, macKey: new Uint8Array(32), marker: '' });
  const status: Status = {
    version: AGENT_VERSION,
    identity,
    enrolment,
    link,
    linkRuns: await isAlive(host, link),
    operation: 'code' in identity ? identity : await tryTo(() => operationUnderWay(machinery)),
    root: 'code' in shelf ? shelf : await tryTo(() => shelf.value.newest()),
    platform: await machinery.inspection.platform(),
  };
  if (json) console.log(JSON.stringify(statusJson(status)));
  else for (const line of statusLines(status)) console.log(line);
  process.exit(isConnected(status) ? 0 : REFUSED);
}

/** Sets the agent up as a start-up task, or takes that away. */
export async function runInstallation(act: 'install' | 'uninstall', entry: string): Promise<void> {
  if (process.platform === 'win32') {
    const { installOnWindows, uninstallOnWindows } = await import('../windows/main.ts');
    const said =
      act === 'install' ? await installOnWindows({ entry, node: process.execPath }) : await uninstallOnWindows();
    console.log(`${act}ed: ${said}\nThis agent is not yet proven on a real Windows.`);
    return;
  }
  throw new Failure('INSTALL_BY_PACKAGE');
}

async function operationUnderWay({
  openJournal,
}: Machinery): Promise<Status['operation'] extends Tried<infer T> ? T : never> {
  const journal = await openJournal('read');
  const open = openOperation(ledgerOf(journal));
  await journal.close();
  return open ? { op: open.op, state: open.state } : null;
}

/** As the executor reads it before it uses a key: one that was made in another machine is none. */
async function readOwnIdentity(host: Host): Promise<EnrolledIdentity> {
  await host.demandPrivate(paths.state);
  const identity = await readIdentity(paths.executor);
  const { macKey } = await readKeys(paths.executor);
  demandMadeHere(identity, macKey, await host.machine());
  return identity;
}

/** On Windows whoever may not read says so by itself. */
function demandRoot(): void {
  if ((process.getuid?.() ?? 0) !== 0) throw new Failure('FORBIDDEN', { reason: 'needs_root' });
}

async function isAlive(host: Host, note: LinkNote | null): Promise<boolean> {
  return note !== null && note.state !== 'stopped' && (await host.processStart(note.pid)) === note.started;
}

/** Server time as the last welcome of this boot said it, carried on by the monotonic clock (clock_gettime(2)). */
async function serverNow(host: Host, note: LinkNote | null): Promise<number | null> {
  const boot = await host.bootId().catch(() => '');
  if (!note?.server || note.server.boot !== boot) return null;
  const monoMs = Number(process.hrtime.bigint() / 1_000_000n);
  return note.server.now + Math.max(0, Math.floor((monoMs - note.server.mono_ms) / 1000));
}

export type SealCommand = Readonly<{ check: boolean; json: boolean; image: string | null; entry: string }>;

/** Takes out of an image what makes the agent one machine's own, or says what is left of one machine in it. */
export async function runSeal({ check, json, image, entry }: SealCommand): Promise<void> {
  if (process.platform === 'win32') throw new Failure('IMAGE_INVALID', { reason: 'windows' });
  const folder = image ?? '/';
  const own = isOwnRoot(folder);
  // Another folder is what was meant by whoever named it; this machine is guarded as from every command.
  if (own) demandGuestForSources();
  demandRoot();
  const files = imageFilesAt(folder);
  if (own && !check) await demandStopped(entry);
  const report = check ? whatIsLeft(files) : await sealNow(files);
  if (json) console.log(JSON.stringify(reportJson(report)));
  else for (const line of reportLines(report)) console.log(line);
  process.exit(check && report.left.length > 0 ? 1 : 0);
}

function whatIsLeft(files: ImageFiles): SealReport {
  return { removed: null, left: [...groupOwn(findOwnThings(files, paths)), ...findRemnants(files)] };
}

async function sealNow(files: ImageFiles): Promise<SealReport> {
  const older = await olderTrustFile(files);
  const removed = groupOwn(seal({ files, places: paths, openOperationIn }));
  return { removed, left: [...older, ...findRemnants(files)] };
}

/** One that is damaged lets no operation go on, so there is none to wait for. */
function openOperationIn(journal: Buffer): OpenOperation | null {
  try {
    const open = openOperation(readLedger(readChain(journal).records as unknown as readonly Entry[]));
    return open ? { op: open.op, state: open.state } : null;
  } catch (error) {
    if (codeOf(error) !== 'JOURNAL_UNSAFE') throw error;
    return null;
  }
}

/** Learned roots go with the rest. Copies then begin with the trust file's, and may believe keys that were withdrawn since. */
async function olderTrustFile(files: ImageFiles): Promise<Remnant[]> {
  const learned = newestLearnedRoot(findOwnThings(files, paths));
  const given = await rootVersionIn(files.read(paths.trust, TRUST_BYTES_MAX));
  if (given === null || given >= learned) return [];
  const how = `replace it: latchkey trust export. It has root ${given}; this machine had learned ${learned}`;
  return [{ what: 'trust_file_older', paths: [paths.trust], how }];
}

/** `null` where it is no trust file: an agent and its doctor say so. */
async function rootVersionIn(file: Buffer | undefined): Promise<number | null> {
  try {
    return file === undefined ? null : (await openRoot(parseTrust(JSON.parse(file.toString())).root)).version;
  } catch (error) {
    if (codeOf(error) === undefined && !(error instanceof SyntaxError)) throw error;
    return null;
  }
}

/** Throws `AGENT_RUNNING` while any process of the agent sees this root: it would write its state anew. */
async function demandStopped(entry: string): Promise<void> {
  const { host } = await here();
  if (await isAlive(host, await readNote(paths.linkNote, linkNote))) throw new Failure('AGENT_RUNNING');
  const proc = procAt();
  const nodes = proc.running([basename(process.execPath)]);
  const agent = nodes.find(({ pid, argv }) => pid !== process.pid && proc.sameRoot(pid) && runsAgent(argv, entry));
  if (agent) throw new Failure('AGENT_RUNNING', { pid: agent.pid });
}

function runsAgent(argv: readonly string[], entry: string): boolean {
  return argv.some((word, at) => RESIDENT.includes(argv[at + 1] ?? '') && realPathOf(word) === entry);
}

function realPathOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
