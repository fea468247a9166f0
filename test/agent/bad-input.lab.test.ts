// What the agent says to whoever set a machine up wrongly: one line with the code and a hint, a non-zero exit, and nothing
// half-written.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT_URL, LAB_AGENT_CONFIG } from '../lab/enrolled.ts';
import { createGuest, type Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';

let issuer: Issuer;
let guest: Guest;
const good: Record<string, string> = {};
const token = () => `lkj_${randomBytes(32).toString('base64url')}`;

beforeAll(async () => {
  issuer = await Issuer.start();
  good['trust.json'] = JSON.stringify(await issuer.trust(AGENT_URL));
  good['agent.json'] = JSON.stringify(LAB_AGENT_CONFIG);
  good['join-token'] = token();
  guest = createGuest({ name: `input-${process.pid}`, vnc: false, services: [] });
  await guest.boot();
});
afterAll(async () => {
  await guest?.destroy();
  await issuer?.stop();
});

/** Runs a command of the agent with these files in place of the good ones; `null` leaves one out. */
async function run(command: readonly string[], files: Record<string, string | null>) {
  await guest.exec(['sh', '-c', 'rm -rf /etc/latchkey-agent /var/lib/latchkey-agent; mkdir /etc/latchkey-agent']);
  for (const [name, content] of Object.entries({ ...good, ...files })) {
    if (content !== null) await guest.writeFile(`/etc/latchkey-agent/${name}`, content, 0o600);
  }
  const result = await guest.exec(['/usr/bin/latchkey-agent', ...command]);
  const { stdout } = await guest.exec(['find', '/var/lib/latchkey-agent', '-name', 'identity.json']);
  return { ...result, identities: stdout };
}

async function expectOneLine(code: string, command: readonly string[], files: Record<string, string | null>) {
  const result = await run(command, files);
  expect(result.stderr).toMatch(new RegExp(`^latchkey-agent: ${code} [^\\n]+\\n$`));
  expect({ code: result.code, stdout: result.stdout, identities: result.identities }).toEqual({
    code: 1,
    stdout: '',
    identities: '',
  });
}

describe.each([['enrol'], ['run']])('latchkey-agent %s', (command) => {
  it.each<[string, string, Record<string, string | null>]>([
    ['a trust file that is missing', 'TRUST_INVALID', { 'trust.json': null }],
    ['a trust file that is empty', 'TRUST_INVALID', { 'trust.json': '' }],
    ['a trust file that is cut off', 'TRUST_INVALID', { 'trust.json': '{"v":1,"url":["ws' }],
    [
      'a trust file with an unknown field',
      'TRUST_INVALID',
      { 'trust.json': '{"v":1,"url":[],"ca_pem":"","root":{},"x":1}' },
    ],
    ['a configuration that is not JSON', 'CONFIG_INVALID', { 'agent.json': 'administrator=root' }],
    ['a configuration with an unknown field', 'CONFIG_INVALID', { 'agent.json': '{"v":1,"root":"/mnt"}' }],
    ['an administrator who cannot be one', 'CONFIG_INVALID', { 'agent.json': '{"v":1,"administrator":"../x"}' }],
    ['plain ws without consent', 'TRUST_INVALID', { 'agent.json': '{"v":1,"rootfs":["overlay"]}' }],
  ])('refuses %s', (_, code, files) => expectOneLine(code, [command], files));
});

describe('latchkey-agent enrol', () => {
  it('refuses a root whose signature does not hold', async () => {
    const trust = JSON.parse(good['trust.json'] ?? '') as { root: { signatures: { signature: string }[] } };
    const [first] = trust.root.signatures;
    if (first) first.signature = `${first.signature.startsWith('A') ? 'B' : 'A'}${first.signature.slice(1)}`;
    await expectOneLine('ROOT_THRESHOLD', ['enrol'], { 'trust.json': JSON.stringify(trust) });
  });

  it.each([
    ['missing', null],
    ['malformed', 'token'],
    ['of another kind', `lk_${'A'.repeat(43)}`],
    ['76 accompanied by an address of a control plane', `${token()}\nws://localhost:7443/agent/v1\n`],
  ])('refuses a join token that is %s', (_, content) =>
    expectOneLine('JOIN_TOKEN_INVALID', ['enrol'], { 'join-token': content }),
  );

  it('without a network says so, and keeps the join token', async () => {
    await expectOneLine('SERVER_UNREACHABLE', ['enrol'], {});
    expect((await guest.exec(['test', '-e', '/etc/latchkey-agent/join-token'])).code).toBe(0);
  });

  it('as an ordinary user changes nothing', async () => {
    await run(['version'], {});
    const { code, stderr } = await guest.exec(['/usr/bin/latchkey-agent', 'enrol'], { user: 'bob' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^latchkey-agent: [A-Z_]+ [^\n]+\n$/);
  });
});

describe('the command line', () => {
  it.each([[['bogus']], [[]], [['run', '--fast']], [['executor', '--reboot-patience', 'soon']]])(
    '%j is a usage error',
    async (argv) => {
      const { code, stderr } = await guest.exec(['/usr/bin/latchkey-agent', ...argv]);
      expect(code).toBe(2);
      expect(stderr).toContain('usage: latchkey-agent COMMAND');
    },
  );
});
