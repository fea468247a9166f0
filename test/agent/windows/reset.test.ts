// A whole reset on Windows as the composition there makes it, through a restart, against written exchanges: what would run on
// a Windows but for Windows itself. It shows that the parts fit, and nothing about a real one.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Check } from '../../../protocol/preflight.ts';
import type { Composed } from './composition.ts';

// Before anything of the agent is loaded: where its files are is decided then.
const here = vi.hoisted(() => {
  const { platform } = process;
  Object.defineProperty(process, 'platform', { value: 'win32' });
  return { platform };
});
const folder = mkdtempSync(join(tmpdir(), 'latchkey-windows-'));
process.env['ProgramData'] = join(folder, 'ProgramData');
const { paths } = await import('../../../agent/paths.ts');
const { composeWindows } = await import('./composition.ts');
const { Conversation, verifyChain, states } = await import('../executor/guest.ts');
const { collected, order } = await import('../executor/orders.ts');
const { WentDown } = await import('./whole-windows.ts');
const { doctorLines } = await import('../../../agent/image/doctor.ts');
const { statusJson, statusLines } = await import('../../../agent/image/status.ts');
const { readPreflight } = await import('../../../protocol/preflight.ts');
const { parseSchema } = await import('../../../protocol/schema.ts');
const { ready: readySchema } = await import('../../../protocol/session.ts');
const { onlyKey, verifyToken } = await import('../../../protocol/token.ts');
const { AGENT, bytes32Text, keys, NOW_S, OP } = await import('../../protocol/samples.ts');

afterAll(() => {
  rmSync(folder, { recursive: true });
  Object.defineProperty(process, 'platform', { value: here.platform });
});

let composed: Composed;
beforeEach(async () => {
  composed = await composeWindows();
  const { accounts } = composed.whole;
  const common = { enabled: true, lockedOut: false, accountEnds: null, passwordEnds: null, password: null };
  accounts.accounts = [
    { ...common, name: 'Guest', rid: 501, passwordSet: null, enabled: false },
    { ...common, name: 'Chief', rid: 500, passwordSet: accounts.tick() },
  ];
});
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
});

/** One executor process and one request to it. */
async function ask(request: object) {
  const conversation = new Conversation(await composed.executor());
  conversation.send(request);
  conversation.finish();
  return { conversation, ended: await conversation.over };
}

async function prepare() {
  const conversation = new Conversation(await composed.executor());
  conversation.send({ t: 'prepare', op: OP, account: null });
  const { token = '' } = await conversation.answer('ready');
  const { payload } = await verifyToken(token, 'lk-ready+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
  return { conversation, ready: parseSchema(readySchema, payload) };
}

const receiptsOf = async () => verifyChain((await ask({ t: 'receipts' })).conversation.receipts);

describe('a reset on a Windows of written exchanges', () => {
  it('goes from prepare over the command and a restart to DONE, with one account changed and nothing else', async () => {
    const { whole } = composed;
    const bootBefore = whole.boot;
    const { conversation, ready } = await prepare();
    expect(ready).toMatchObject({ account: { name: 'Chief', uid: 500, state: 'active' }, warnings: ['VNC_ABSENT'] });
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null, uid: 500 }) });
    // The process dies of the restart that it asked for.
    expect(await conversation.over).toBeInstanceOf(WentDown);
    expect(whole.restarts).toBe(1);
    expect(whole.announced).toEqual([expect.stringMatching(/^The system restarts now/)]);

    await ask({ t: 'resume' });
    const receipts = await receiptsOf();
    expect(states(receipts)).toEqual(['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'REBOOTING', 'BOOTED', 'DONE']);
    expect(receipts.at(-1)).toMatchObject({
      agent: AGENT,
      code: null,
      detail: {
        account: 'Chief',
        boot_before: bootBefore,
        boot_after: whole.boot,
        verified: { account: true, reboot: true },
      },
    });
    const [guest, chief] = whole.accounts.accounts;
    expect(await collected(receipts, 'account')).toBe(chief?.password);
    expect(guest?.password).toBeNull();
    expect(whole.accounts.flushes).toBe(1);
  });

  it('leaves no password in any of its files', async () => {
    const { whole } = composed;
    const { conversation, ready } = await prepare();
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null, uid: 500 }) });
    await conversation.over;
    await ask({ t: 'resume' });
    const password = whole.accounts.accounts[1]?.password ?? '';
    expect(password).toMatch(/^[A-Za-z0-9]{24}$/);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ name }) => name)).toContain('journal.jsonl');
    for (const { parentPath, name } of files)
      expect(readFileSync(join(parentPath, name), 'utf8')).not.toContain(password);
  });

  it('that does not restart ends PARTIAL, with the password in force', async () => {
    const { whole } = composed;
    whole.shutdown = 'denied';
    const { conversation, ready } = await prepare();
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null, uid: 500 }) });
    await conversation.over;
    const receipts = await receiptsOf();
    expect(receipts.at(-1)).toMatchObject({
      state: 'PARTIAL',
      code: 'REBOOT_DENIED',
      detail: { verified: { account: true } },
    });
  });

  it.each([
    ['safe_mode', 'ENV_REFUSED'],
    ['domain_controller', 'DOMAIN_CONTROLLER'],
  ])('on a machine in %s is refused, and nothing is changed', async (what, code) => {
    const { whole } = composed;
    const { conversation, ready } = await prepare();
    if (what === 'safe_mode') whole.environment = 'safe_mode';
    else whole.accounts.role = 5;
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null, uid: 500 }) });
    await conversation.over;
    expect((await receiptsOf()).at(-1)).toMatchObject({ state: 'REFUSED', code });
    expect({ typed: whole.accounts.bytesTyped, restarts: whole.restarts }).toEqual({ typed: 0, restarts: 0 });
  });
});

describe('before it reads a key, an executor on Windows demands', () => {
  it.each(['of_somebody', 'everybody_reads', 'program_data', 'leads_elsewhere', 'no_list'])(
    'a folder that is its own: %s is JOURNAL_UNSAFE',
    async (access) => {
      composed.whole.accessOf = () => access;
      await expect(composed.executor()).rejects.toMatchObject({ code: 'JOURNAL_UNSAFE' });
    },
  );
  it('the machine that its keys were made in: another is CLONE_SUSPECTED', async () => {
    composed.whole.machine = 'another';
    await expect(composed.executor()).rejects.toMatchObject({ code: 'CLONE_SUSPECTED' });
  });
});

describe('a preflight on Windows', () => {
  it('says first that the agent is not proven on a real one, and has every row of a machine that can be reset', async () => {
    const { conversation } = await ask({ t: 'preflight', nonce: bytes32Text(0x90), now: NOW_S });
    const token = conversation.answers.find(({ t }) => t === 'preflight')?.token ?? '';
    const { payload } = await verifyToken(token, 'lk-preflight+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
    const { checks } = readPreflight(payload);
    const [platform, ...others] = checks;
    expect(platform).toEqual({ name: 'platform', verdict: 'warning', code: 'PLATFORM_UNPROVEN', about: 'Windows' });
    expect(doctorLines(checks as readonly Check[])[1]).toBe(
      '  warning  operating system: Windows — PLATFORM_UNPROVEN This agent is not yet proven on a real machine of this system. Try a reset on a machine that you can lose.',
    );
    const looked = others.filter(({ name }) => name !== 'clock');
    expect(looked.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
    expect(looked.map(({ name }) => name)).toContain('password_program');
  });
});

it('the status of a Windows says that the agent is not proven on a real one', async () => {
  const { inspection } = await composed.executor();
  const nothing = { code: 'NOT_ENROLLED', details: {} } as const;
  const status = {
    version: '0',
    identity: nothing,
    enrolment: null,
    link: null,
    linkRuns: false,
    operation: nothing,
    root: nothing,
    platform: await inspection.platform(),
  };
  expect(statusLines(status).at(-1)).toMatch(/^system +Windows: PLATFORM_UNPROVEN This agent is not yet proven /);
  expect(statusJson(status)).toMatchObject({ platform: { system: 'Windows', proven: false } });
});

const PROGRAM = 'C:\\Program Files\\latchkey-agent';
type Wish = { place?: string; access?: string };

describe('setting up on Windows', () => {
  it('is written by the Task Scheduler’s own schema, for SYSTEM', async () => {
    const { installOnWindows } = await import('../../../agent/windows/main.ts');
    composed.whole.accessOf = (path) => (path === PROGRAM ? 'program_files' : 'closed');
    await installOnWindows({ entry: `${PROGRAM}\\main.js`, node: `${PROGRAM}\\node.exe` }, composed.seams);
    expect(composed.whole.folders).toEqual([paths.state, composed.seams.windows.scratch]);
    const expected = readFileSync(new URL('../../fixtures/windows/task.xml', import.meta.url), 'utf8');
    expect(composed.whole.task).toEqual({
      name: 'Latchkey agent',
      xml: expected.replace(/^<!--[\s\S]*?-->\n/, '').trimEnd(),
    });
  });
  it.each([
    ['where anybody could put it', { place: 'C:\\latchkey-agent' }, 'program_place'],
    ['in a folder that others may write', { access: 'program_data' }, 'program_folder'],
  ])('makes nothing for a program %s', async (_, { place = PROGRAM, access = 'program_files' }: Wish, reason) => {
    const { installOnWindows } = await import('../../../agent/windows/main.ts');
    composed.whole.accessOf = (path) => (path === PROGRAM ? access : 'closed');
    const asked = installOnWindows({ entry: `${place}\\main.js`, node: `${PROGRAM}\\node.exe` }, composed.seams);
    await expect(asked).rejects.toMatchObject({ code: 'INSTALL_FAILED', details: { reason } });
    expect({ folders: composed.whole.folders, task: composed.whole.task }).toEqual({ folders: [], task: null });
  });
  it('is undone, but never under an operation', async () => {
    const { uninstallOnWindows } = await import('../../../agent/windows/main.ts');
    const { whole, seams } = composed;
    whole.task = { name: 'Latchkey agent', xml: '' };
    const { conversation, ready } = await prepare();
    conversation.send({ t: 'execute', token: await order(ready, { vnc: null, uid: 500 }) });
    await conversation.over;
    await expect(uninstallOnWindows(seams)).rejects.toMatchObject({ code: 'BUSY' });
    expect(whole.task).not.toBeNull();
    await ask({ t: 'resume' });
    expect(await uninstallOnWindows(seams)).toMatch(/is removed/);
    expect(whole.task).toBeNull();
  });
});
