// Command received to password in force, and to proven, in a lab guest, against bare chpasswd(8) for the same account in
// the same guest, in turns. The executor is warm because `prepare` started it; its start is reported on its own.

import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { PRODUCT_SERVICES } from '../lab/services.ts';
import { median } from './table.ts';

const ACCOUNT = 'bob';
const TYPING_MS = 1_000;
const MARKS = ['command_received', 'verified', 'accepted', 'begun', 'in_force', 'proven'] as const;
type Mark = (typeof MARKS)[number];
type Round = { chpasswdMs: number; startMs: number; marks: Readonly<Record<Mark, number>> };

export async function benchReset(rounds: number): Promise<void> {
  const issuer = await Issuer.start();
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  const guest = await createAttachedGuest(attachment, {
    name: `bench-${process.pid}`,
    vnc: false,
    services: talkativeServices(),
  });
  try {
    await guest.boot();
    const done: Round[] = [];
    // The first round warms the page cache and is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      const figures = { chpasswdMs: await runChpasswd(guest), ...(await runReset(issuer, guest)) };
      if (round > 0) done.push(figures);
      process.stderr.write(`\rround ${round}/${rounds}`);
    }
    process.stderr.write('\n');
    print(done);
  } finally {
    await guest.destroy();
    await issuer.stop();
  }
}

const talkativeServices = () =>
  PRODUCT_SERVICES.map((service) =>
    service.name === 'executor'
      ? { ...service, argv: ['/usr/bin/env', 'LATCHKEY_LOG_LEVEL=debug', ...service.argv] }
      : service,
  );

async function runChpasswd(guest: Guest): Promise<number> {
  const node = '/usr/lib/latchkey-agent/node_modules/.bin/node';
  const { code, stdout, stderr } = await guest.exec([
    node,
    '/usr/lib/latchkey-agent/test/bench/chpasswd-in-guest.ts',
    ACCOUNT,
  ]);
  if (code !== 0) throw new Error(stderr);
  return Number(stdout);
}

/** One whole reset of the account: the reboot included, so that every round begins with a freshly booted guest. */
async function runReset(issuer: Issuer, guest: Guest): Promise<Omit<Round, 'chpasswdMs'>> {
  await issuer.connected(guest.reboots);
  const askedMs = performance.now();
  const ready = await issuer.prepare(ACCOUNT);
  const startMs = performance.now() - askedMs;
  // An operator reads and types meanwhile; the executor has long been ready when the command comes.
  await new Promise((resolve) => setTimeout(resolve, TYPING_MS));
  const { jwk } = await sealingKeyFromSeed(crypto.getRandomValues(new Uint8Array(32)));
  const secret = { mode: 'generated', recipient_jwk: jwk };
  await issuer.command(ready, issuer.intent(ready, { account: { name: ACCOUNT, uid: null, secret, unlock: false } }));
  const { state, code } = await issuer.end(ready.op);
  if (state !== 'DONE') throw new Error(`the reset ended ${state} ${code ?? ''}`);
  const log = (await guest.readFile('/var/log/lab/executor.log')).toString();
  return { startMs, marks: readMarks(log, ready.op) };
}

function readMarks(log: string, op: string): Record<Mark, number> {
  const line = log.split('\n').find((candidate) => candidate.includes('"marks"') && candidate.includes(op));
  const { marks = {} } = JSON.parse(line ?? '{}') as { marks?: Partial<Record<Mark, number>> };
  for (const name of MARKS) if (marks[name] === undefined) throw new Error(`the log has no mark ${name}`);
  return marks as Record<Mark, number>;
}

function print(rounds: readonly Round[]): void {
  const between = (from: Mark, to: Mark) => rounds.map(({ marks }) => marks[to] - marks[from]);
  const baseline = rounds.map(({ chpasswdMs }) => chpasswdMs);
  const base = median(baseline);
  const row = (name: string, values: readonly number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const ratio = median(rounds.map((_, index) => (values[index] ?? 0) / (baseline[index] ?? 1)));
    console.log(
      `${name.padEnd(44)} ${median(values).toFixed(1).padStart(8)} ${low.toFixed(1).padStart(8)} ${high.toFixed(1).padStart(8)} ${ratio.toFixed(2).padStart(7)}`,
    );
  };
  console.log(
    `\n${rounds.length} rounds, in turns, milliseconds; the ratio is the median of the rounds' own ratios to chpasswd`,
  );
  console.log(
    `${''.padEnd(44)} ${'median'.padStart(8)} ${'min'.padStart(8)} ${'max'.padStart(8)} ${'ratio'.padStart(7)}`,
  );
  row('chpasswd, bare (baseline)', baseline);
  row('command received -> password in force', between('command_received', 'in_force'));
  row('command received -> password proven', between('command_received', 'proven'));
  console.log('where it goes:');
  row('  signature, canonical form', between('command_received', 'verified'));
  row('  rules, account, environment, journal', between('verified', 'accepted'));
  row('  generate, seal, journal, announce', between('accepted', 'begun'));
  row('  passwd through its terminal, sync', between('begun', 'in_force'));
  row('  entries compared, checker, expiry', between('in_force', 'proven'));
  row(
    'on its own: prepare -> ready (process start)',
    rounds.map(({ startMs }) => startMs),
  );
  console.log(`baseline median ${base.toFixed(1)} ms`);
}
