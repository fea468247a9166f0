// The preflight says what a reset would meet: for every reason to refuse, the code that the reset itself ends with. It is
// asked beside whatever is under way, and leaves no trace.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allCodes, type Code } from '../../../protocol/codes.ts';
import { RECEIPT_BYTES_MAX } from '../../../protocol/limits.ts';
import { canReset, checkNames, type Preflight, readPreflight } from '../../../protocol/preflight.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { ready as readySchema } from '../../../protocol/session.ts';
import { onlyKey, verifyToken } from '../../../protocol/token.ts';
import { AGENT, bytes32Text, keys, NOW_S, OP, sampleRoot } from '../../protocol/samples.ts';
import { type Guest, makeGuest, states, verifyChain } from './guest.ts';
import { drawPassword, order, type Wishes } from './orders.ts';
import { execute } from './runs.ts';

const NONCE = bytes32Text(0x90);
const OTHER_OP = `op_${'0'.repeat(25)}9`;

async function preflight(guest: Guest, now = NOW_S): Promise<Preflight> {
  const { answers } = await guest.ask({ t: 'preflight', nonce: NONCE, now });
  expect(answers.map(({ t }) => t)).toEqual(['preflight', 'end']);
  const token = answers[0]?.token ?? '';
  expect(token.length).toBeLessThanOrEqual(RECEIPT_BYTES_MAX);
  const { payload } = await verifyToken(token, 'lk-preflight+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
  return readPreflight(payload);
}

const refusedBy = ({ checks }: Preflight) =>
  checks
    .filter(({ verdict }) => verdict === 'refused')
    .map(({ code = '', reason }) => (reason ? `${code} ${reason}` : code));

const withRoot = (guest: Guest, changes: object = {}) =>
  guest.machine.accounts.set('root', { uid: 0, password: drawPassword(), state: 'active', changes: 0, ...changes });

function healthy(...options: Parameters<typeof makeGuest>): Guest {
  const guest = makeGuest(...options);
  withRoot(guest);
  return guest;
}

test('a healthy machine is ok in every row, and the answer is its own, fresh and signed', async () => {
  const guest = healthy();
  const said = await preflight(guest);
  expect(said).toMatchObject({ agent: AGENT, nonce: NONCE, now: NOW_S, boot: guest.machine.bootId, left_out: 0 });
  expect(said.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
  const askedLocally = ['control_plane', 'link', 'executor'];
  expect([...new Set(said.checks.map(({ name }) => name))]).toEqual(
    checkNames.filter((name) => !askedLocally.includes(name)),
  );
  expect(canReset(said.checks)).toEqual({ account: true, vnc: true });
});

type Cause = Readonly<{
  code: Code;
  reason?: string;
  breaks: (guest: Guest) => unknown;
  wishes?: Wishes;
  root?: object;
}>;

const VNC_ALONE = { account: null } as const;
const causes: Readonly<Record<string, Cause>> = {
  'a root past its end': { code: 'ROOT_EXPIRED', breaks: () => {}, root: { expires: NOW_S - 1 } },
  'a command key past its end': {
    code: 'KEY_EXPIRED',
    breaks: () => {},
    root: { keys: { ...sampleRoot().keys, [keys.command.kid]: { jwk: keys.command.jwk, expires: NOW_S - 1 } } },
  },
  'a journal that is not private': {
    code: 'JOURNAL_UNSAFE',
    reason: 'mode',
    breaks: ({ machine }) => {
      machine.journalTrouble = 'unsafe';
    },
  },
  'a journal on a full disk': {
    code: 'DISK_FULL',
    breaks: ({ machine }) => {
      machine.journalTrouble = 'full';
    },
  },
  'a journal on a read-only disk': {
    code: 'FS_READONLY',
    breaks: ({ machine }) => {
      machine.journalTrouble = 'read_only';
    },
  },
  'an operation under way': {
    code: 'BUSY',
    breaks: async (guest) => {
      guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'before', how: 'crash' });
      await execute(guest);
    },
  },
  'another root’s marker': {
    code: 'ENV_REFUSED',
    reason: 'marker_other',
    breaks: ({ machine }) => {
      machine.facts = { marker: 'other' };
    },
  },
  'a kernel argument': {
    code: 'ENV_REFUSED',
    reason: 'kernel_argument:init',
    breaks: ({ machine }) => {
      machine.facts = { kernelCommandLine: 'ro init=/bin/sh' };
    },
  },
  'no account with uid 0': { code: 'ACCOUNT_NOT_FOUND', breaks: ({ machine }) => machine.accounts.clear() },
  'several accounts with uid 0': {
    code: 'ACCOUNT_AMBIGUOUS',
    breaks: (guest) => guest.machine.accounts.set('toor', { uid: 0, password: null, state: 'no_password', changes: 0 }),
  },
  'a locked account': { code: 'ACCOUNT_LOCKED', breaks: (guest) => withRoot(guest, { state: 'locked' }) },
  'an account past its end': { code: 'ACCOUNT_EXPIRED', breaks: (guest) => withRoot(guest, { state: 'expired' }) },
  'several VNC servers': {
    code: 'VNC_AMBIGUOUS',
    breaks: ({ machine }) => machine.addVncServer({ port: 5902, sourcePath: '/home/eve/.vnc/passwd' }),
  },
  'a VNC server whose password is in its arguments': {
    code: 'VNC_FAILED',
    reason: 'inline_password',
    wishes: VNC_ALONE,
    breaks: ({ vnc }) => {
      vnc.inline = true;
    },
  },
  'a VNC file that is not its owner’s alone': {
    code: 'VNC_FAILED',
    reason: 'writable_by_others',
    wishes: VNC_ALONE,
    breaks: ({ vnc }) => {
      vnc.unsafe = 'writable_by_others';
    },
  },
  'a machine that cannot be rebooted': {
    code: 'REBOOT_DENIED',
    reason: 'init_unknown',
    breaks: ({ machine }) => {
      machine.power = 'denies';
    },
  },
  'no password program': {
    code: 'PASSWD_FAILED',
    reason: 'missing',
    breaks: ({ machine }) => {
      machine.programTrouble = 'missing';
    },
  },
  'no pseudo-terminal': {
    code: 'PASSWD_FAILED',
    reason: 'no_terminal',
    breaks: ({ machine }) => {
      machine.programTrouble = 'no_terminal';
    },
  },
  'a held account database': {
    code: 'SHADOW_LOCKED',
    reason: 'lock',
    breaks: ({ machine }) => {
      machine.diskTrouble = 'lock_held';
    },
  },
  'a read-only /etc': {
    code: 'FS_READONLY',
    reason: 'readonly',
    breaks: ({ machine }) => {
      machine.diskTrouble = 'read_only';
    },
  },
  'a full /etc': {
    code: 'PASSWD_FAILED',
    reason: 'full',
    breaks: ({ machine }) => {
      machine.diskTrouble = 'full';
    },
  },
};

/** The code with which a reset of the guest as it is ends: refused before it was prepared, refused, or failed. */
async function resetEnds(guest: Guest, wishes: Wishes, op = OP): Promise<string | null | undefined> {
  const conversation = guest.connect();
  conversation.send({ t: 'prepare', op, account: null });
  while (conversation.answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const [answer] = conversation.answers;
  if (answer?.t !== 'ready') return answer?.code;
  const { payload } = await verifyToken(answer.token ?? '', 'lk-ready+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
  conversation.send({ t: 'execute', token: await order(parseSchema(readySchema, payload), wishes) });
  await conversation.over;
  return (await verifyChain(conversation.receipts)).at(-1)?.code;
}

describe('for every reason to refuse, preflight and reset name one code', () => {
  test.each(Object.entries(causes))('%s', async (_, { code, reason, breaks, wishes = {}, root = {} }) => {
    const guest = healthy({ root: sampleRoot(root) });
    await breaks(guest);
    const said = await preflight(guest);
    expect(refusedBy(said).map((words) => words.split(' ')[0])).toEqual([code]);
    if (reason) expect(refusedBy(said)).toEqual([`${code} ${reason}`]);
    expect(await resetEnds(guest, wishes, code === 'BUSY' ? OTHER_OP : OP)).toBe(code);
  });

  test('a server that asks for the account’s password is no refusal of a reset, and is said', async () => {
    const guest = healthy({ vnc: { kind: 'account', sourcePath: null } });
    const said = await preflight(guest);
    expect(said.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([
      { name: 'vnc', verdict: 'warning', code: 'VNC_USES_ACCOUNT', about: 'tigervnc:5901' },
    ]);
    expect(await resetEnds(guest, VNC_ALONE)).toBe('VNC_USES_ACCOUNT');
  });

  test('a machine without a VNC server can be reset, and that there is none is said', async () => {
    const guest = healthy({ vnc: null });
    const said = await preflight(guest);
    expect(refusedBy(said)).toEqual([]);
    expect(said.checks).toContainEqual({ name: 'vnc', verdict: 'ok', code: 'VNC_ABSENT' });
    expect(await resetEnds(guest, VNC_ALONE)).toBe('VNC_ABSENT');
  });

  test('no code that an acceptance can refuse with is left out of this table', () => {
    const source = ['accept', 'conditions'].map((name) =>
      readFileSync(join(import.meta.dirname, `../../../agent/executor/${name}.ts`), 'utf8'),
    );
    const thrown = new Set(source.join('').match(/(?<=new Failure\(')[A-Z_]+/g));
    /** Of the command's own words, not of the machine; and two that are said and are no refusal. */
    const elsewhere: readonly Code[] = [
      'OP_CONFLICT',
      'AUTHZ_INVALID',
      'PASSWORD_POLICY',
      'VNC_ABSENT',
      'VNC_USES_ACCOUNT',
    ];
    const here = Object.values(causes).map(({ code }) => code);
    expect(thrown.size).toBeGreaterThan(7);
    expect([...thrown].filter((code) => ![...elsewhere, ...here].includes(code as Code))).toEqual([]);
    expect([...thrown].filter((code) => !(allCodes as readonly string[]).includes(code))).toEqual([]);
  });
});

describe('what is odd and no refusal', () => {
  const warnings = ({ checks }: Preflight) =>
    checks.filter(({ verdict }) => verdict === 'warning').map(({ name, code }) => `${name} ${code}`);

  test('an account without a password, and what would keep its owner out', async () => {
    const guest = healthy();
    withRoot(guest, { state: 'no_password', password: null, obstacles: ['ACCOUNT_SHELL_NOLOGIN', 'SSH_DEPENDS'] });
    const said = await preflight(guest);
    expect(warnings(said)).toEqual([
      'account ACCOUNT_HAD_NO_PASSWORD',
      'account ACCOUNT_SHELL_NOLOGIN',
      'account SSH_DEPENDS',
    ]);
    expect(canReset(said.checks)).toEqual({ account: true, vnc: true });
  });

  test('a root, or the last of its command keys, that ends within two weeks', async () => {
    const soon = NOW_S + 13 * 86_400;
    expect(warnings(await preflight(healthy({ root: sampleRoot({ expires: soon }) })))).toEqual([
      'trust ROOT_EXPIRES_SOON',
    ]);
    const key = { ...sampleRoot().keys, [keys.command.kid]: { jwk: keys.command.jwk, expires: soon } };
    expect(warnings(await preflight(healthy({ root: sampleRoot({ keys: key }) })))).toEqual([
      'trust ROOT_EXPIRES_SOON',
    ]);
  });

  test('a clock that is off, which refuses nothing: the root is judged by the time of the question', async () => {
    const guest = healthy();
    for (const [now, expected] of [
      [NOW_S + 60, []],
      [NOW_S + 61, ['clock CLOCK_WRONG']],
      [NOW_S - 10_000_000, ['clock CLOCK_WRONG']],
    ] as const) {
      expect(warnings(await preflight(guest, now))).toEqual(expected);
    }
    expect(refusedBy(await preflight(guest, sampleRoot().expires + 1))).toEqual(['ROOT_EXPIRED']);
  });
});

const traces = ({ machine }: Guest) => [machine.accounts, machine.vncServers, machine.journal.toString()];

describe('looking', () => {
  test('changes nothing, takes no lock and asks no VNC server', async () => {
    const guest = healthy();
    await execute(guest, { account: null, vnc: 'generated', server: 'tigervnc:9' });
    guest.vnc.failures = 3;
    const before = structuredClone(traces(guest));
    guest.machine.faults.calls.length = 0;
    guest.machine.journalWriter = true;
    await preflight(guest);
    expect(traces(guest)).toEqual(before);
    const calls = guest.machine.faults.calls.filter((call) => !call.startsWith('inspection.'));
    expect([...new Set(calls)].sort()).toEqual([
      'accounts.obstacles',
      'accounts.resolve',
      'accounts.usable',
      'environment.observe',
      'journal.open',
      'power.available',
      'vnc.demandChangeable',
      'vnc.list',
    ]);
  });

  test('does not disturb an executor that waits for its command', async () => {
    const guest = healthy();
    const { conversation, ready } = await guest.prepare();
    expect(refusedBy(await preflight(guest))).toEqual([]);
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null }) });
    await conversation.over;
    expect(states(await guest.receipts())).toContain('PASSWORD_SET');
  });

  test('says BUSY, by its name, of an operation in its grace period, which goes on', async () => {
    let asked: Preflight | undefined;
    const warn = async () => {
      asked ??= await preflight(guest);
    };
    const guest: Guest = healthy({ parts: { power: { available: async () => {}, reboot: async () => {}, warn } } });
    await execute(guest, { graceS: 1, vnc: null });
    expect(asked?.checks).toContainEqual({ name: 'operation', verdict: 'refused', code: 'BUSY', about: OP });
    expect(states(await guest.receipts())).toContain('PASSWORD_SET');
  });

  test('that breaks in one place tells all the rest', async () => {
    const guest = healthy();
    for (const call of ['inspection.pam', 'vnc.list']) {
      guest.machine.faults.plan({ call, nth: 1, when: 'before', how: new TypeError('a defect') });
    }
    const said = await preflight(guest);
    expect(said.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([
      { name: 'pam', verdict: 'unknown', code: 'INTERNAL' },
      { name: 'vnc', verdict: 'unknown', code: 'INTERNAL' },
    ]);
    expect(canReset(said.checks)).toEqual({ account: true, vnc: true });
    expect(guest.log.join()).toContain('a defect');
  });

  test('at everything at once, all of it wrong, fits into the answer, and no refusal is left out', async () => {
    const guest = healthy({ root: sampleRoot({ expires: NOW_S - 1 }) });
    withRoot(guest, {
      obstacles: ['SSH_ROOT_PASSWORD_OFF', 'ACCOUNT_SHELL_NOLOGIN', 'EXPIRY_AHEAD', 'FAILLOCK_ACTIVE'],
    });
    for (let port = 5902; port < 5930; port += 1) {
      guest.machine.addVncServer({ port, inline: port % 2 === 0, sourcePath: `/home/eve/.vnc/${port}` });
    }
    Object.assign(guest.machine, { diskTrouble: 'full', programTrouble: 'missing', power: 'denies' });
    guest.machine.journalTrouble = 'read_only';
    guest.machine.facts = { kernelCommandLine: 'systemd.debug_shell' };
    const said = await preflight(guest);
    expect(said.left_out).toBeGreaterThan(0);
    expect(new Set(refusedBy(said).map((words) => words.split(' ')[0]))).toEqual(
      new Set([
        ...['ROOT_EXPIRED', 'FS_READONLY', 'ENV_REFUSED', 'PASSWD_FAILED'],
        ...['VNC_AMBIGUOUS', 'VNC_FAILED', 'REBOOT_DENIED'],
      ]),
    );
  });
});
