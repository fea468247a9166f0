// `latchkey vm create`: registers a machine to come, proves that it shall be given its first passwords, and hands out what its
// first boot needs. What is proven is compared, to the byte, with what was asked.

import { canonicalBytes } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';
import { type InitialiseIntent, readIntent } from '../../protocol/intent.ts';
import { fromBase64url, sha256, sha256Text, toBase64url } from '../../protocol/keys.ts';
import { INTENT_TTL_S, INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { IntentResponse, OperationView } from '../api/schemas.ts';
import type { VmCreated, VmRequest } from '../api/schemas-provisioning.ts';
import { type Delivery, type Material, materialOf } from '../core/join-material.ts';
import { type CommonOptions, interruptible } from './action.ts';
import type { Client } from './client/client.ts';
import { createRecipient, dropRecipient } from './client/recipients.ts';
import { canAsk, confirm, secretLines, UsageError } from './prompts.ts';
import { demandProof, openProver, type ProofFlags, readProofFlags } from './prover.ts';
import { report } from './report.ts';
import { proveAndSubmit } from './reset/proof.ts';
import { follow } from './reset/reset.ts';
import { instructions, writeMaterial } from './token-delivery.ts';
import { openProgress } from './view/progress.ts';
import { codeWithHint, printable, writeJson, writeLine, writeNote } from './view/text.ts';

export type CreateOptions = CommonOptions &
  ProofFlags &
  Readonly<{
    account?: string;
    project?: string;
    independent?: boolean;
    vnc?: boolean;
    server?: string;
    label?: Readonly<Record<string, string>>;
    grace?: number;
    ttl?: number;
    instance?: string;
    as: Delivery;
    output?: string;
    yes?: boolean;
    wait?: boolean;
    reveal?: boolean;
  }>;

export async function createMachine(client: Client, name: string, options: CreateOptions): Promise<number> {
  const { api } = client;
  const flags = readProofFlags(options);
  if (!canAsk() || flags.codeStdin) {
    if (!options.yes) throw new UsageError('nobody can be asked here: give --yes');
    demandProof(flags);
  }
  const asked = requestOf(name, options);
  for (const code of options.json ? [] : warningsOf(asked)) writeNote(`Warning ${codeWithHint(code)}`);
  if (!options.yes && !(await confirm(questionOf(asked)))) throw new Failure('CANCELLED', { vm: name });
  const created = await api.createVm(asked);
  let approved: OperationView;
  try {
    approved = await approve(client, { asked, created, flags });
    await handOut(created, { approved, warnings: warningsOf(asked) }, options);
  } catch (error) {
    // Whatever was not proven shall not come, and nobody has its token.
    await api.removeVm(created.vm.id).catch(() => undefined);
    await dropRecipient(client.stateFolder, created.op).catch(() => undefined);
    throw error;
  }
  return options.wait ? watch(client, approved, options) : 0;
}

function requestOf(
  name: string,
  { account, project, independent, vnc, server, label, grace, ttl, instance }: CreateOptions,
): VmRequest {
  return {
    name,
    ...(label === undefined ? {} : { labels: { ...label } }),
    ...(account === undefined ? {} : { account }),
    ...(project === undefined ? {} : { project }),
    vnc_initial: vnc === false ? null : independent ? 'independent' : 'same',
    ...(server === undefined ? {} : { vnc_server: server }),
    ...(grace === undefined ? {} : { grace_s: grace }),
    ...(ttl === undefined ? {} : { ttl_s: ttl }),
    ...(instance === undefined ? {} : { instance }),
  };
}

/** Which server it has nobody knows yet: of one that reads 8 characters it will be true. */
const warningsOf = ({ vnc_initial }: VmRequest): string[] =>
  vnc_initial === 'same' ? ['VNC_SHARES_ACCOUNT_PASSWORD'] : [];

function questionOf({ name, account, vnc_initial }: VmRequest): string {
  const vnc = { same: ', and VNC the same one', independent: ', and VNC one of its own' };
  const extra = vnc_initial ? vnc[vnc_initial] : '';
  return `Let ${name} come: ${account ?? 'its administrator'} gets a generated password${extra}. It restarts once then. Go on?`;
}

type Approval = Readonly<{ asked: VmRequest; created: VmCreated; flags: ReturnType<typeof readProofFlags> }>;

async function approve(client: Client, { asked, created, flags }: Approval): Promise<OperationView> {
  const { op, vm, join } = created;
  const { operator } = await client.api.whoami();
  const from = { randomBytes: client.randomBytes, now: client.now() };
  const { jwk } = (await createRecipient(client.stateFolder, { op, agent: vm.agent }, from)).key;
  const secret = { mode: 'generated', recipient_jwk: jwk } as const;
  const nowS = Math.floor(client.now().getTime() / 1_000);
  const comesS = Math.ceil(Date.parse(join.expires_at) / 1_000) - nowS;
  const valid_s = Math.min(Math.max(60, comesS) + INTENT_TTL_S + (asked.grace_s ?? 0), INTENT_TTL_S_MAX);
  const isOwn = asked.vnc_initial === 'independent';
  const response = await client.api.intent(op, { account: { secret }, ...(isOwn ? { vnc: { secret } } : {}), valid_s });
  const vnc =
    asked.vnc_initial === null
      ? {}
      : { vnc: { server: asked.vnc_server ?? null, secret: isOwn ? secret : 'same', restart: true } as const };
  const wanted = {
    op,
    project: vm.project,
    agent: vm.agent,
    join_sha256: await sha256Text(join.token),
    operator,
    account: { name: asked.account ?? null, uid: null, secret, unlock: false },
    ...vnc,
    reboot: { kind: 'normal', grace_s: asked.grace_s ?? 0 },
  } as const;
  const checked = await checkIntent(response, wanted, nowS + valid_s + CLOCK_APART_S_MAX);
  let lines: (() => Promise<Secret>) | undefined;
  const nextLine = () => {
    lines ??= secretLines();
    return lines();
  };
  const operation = await client.api.operation(op);
  const observer = await openProver(flags, nextLine);
  return proveAndSubmit(client, { op, operation, operator }, { observer, checked, methods: response.methods });
}

/** How far this machine's clock and the server's may lie apart before an intent counts as living too long. */
const CLOCK_APART_S_MAX = 600;
type Wanted = Omit<InitialiseIntent, 'v' | 'method' | 'nonce' | 'not_after' | 'act'>;

/** Everything but the nonce and the end is known here: the bytes are those that it gives, or nothing is proven. */
async function checkIntent({ intent: encoded, intent_hash }: IntentResponse, wanted: Wanted, latestS: number) {
  const said = readIntent(encoded);
  const { op, project, agent, join_sha256, operator, account, vnc, reboot } = wanted;
  const { nonce, not_after } = said;
  const opening = { v: 1, op, project, agent, join_sha256, method: 'online', operator, nonce, not_after };
  const expected = { ...opening, act: 'initialise', account, ...(vnc ? { vnc } : {}), reboot };
  const hashBytes = await sha256(canonicalBytes(expected));
  const hash = toBase64url(hashBytes);
  const isSame = hash === intent_hash && hash === toBase64url(await sha256(fromBase64url(encoded)));
  if (!isSame || not_after > latestS) {
    throw new Failure('AUTHZ_INVALID', { field: 'intent', reason: 'the control plane shows something else' });
  }
  return { hash, hashBytes };
}

type Approved = Readonly<{ approved: OperationView; warnings: readonly string[] }>;

async function handOut(
  { vm, op, join }: VmCreated,
  { approved, warnings }: Approved,
  options: CreateOptions,
): Promise<void> {
  const { output, json, as } = options;
  const material: Material = materialOf(as, { id: join.id, token: join.token });
  const files = output === undefined ? null : await writeMaterial(material, output);
  const known = {
    vm: vm.id,
    name: vm.name,
    agent: vm.agent,
    op,
    approved: approved.approved,
    warnings,
    expires_at: join.expires_at,
  };
  if (json) {
    writeJson({ event: 'created', ...known, ...(files ? { files } : { token: join.token, material }) });
    return;
  }
  writeLine(files ? `Wrote ${files.join(', ')}.` : material[0]?.text.trimEnd());
  const seen = files ? '' : 'Shown this once. ';
  writeNote(`${seen}${printable(vm.name)} may come until ${join.expires_at}, with this and nothing else.`);
  for (const line of instructions(as, output)) writeNote(line);
  if (!approved.approved) writeNote(`Somebody else has to approve it, too: latchkey op approve ${op}`);
  if (!options.wait) writeNote(`Its passwords, once it is there: latchkey op watch ${op}`);
}

function watch(
  client: Client,
  operation: OperationView,
  { json = false, reveal = false }: CreateOptions,
): Promise<number> {
  return interruptible(async (signal) => {
    const screen = openProgress({ json });
    const observer = {
      onEvent(event: Readonly<{ event: string; operation?: OperationView }>) {
        if (event.event === 'progress' && event.operation) screen.show(event.operation);
      },
    };
    try {
      const outcome = await follow(client, operation, { request: { signal, waitWhileOverdue: true }, observer });
      await screen.close();
      return await report(client, outcome, { json, reveal });
    } finally {
      await screen.close();
    }
  });
}
