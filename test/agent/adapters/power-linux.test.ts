// Which program is asked to reboot, and what its end means, over made-up trees.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { powerLinux } from '../../../agent/adapters/power-linux.ts';
import { refuses } from '../contracts/contract.ts';

type Tree = Readonly<{ init: string; systemd?: boolean; programs?: Readonly<Record<string, string>> }>;

/** Each program writes its name and arguments to `asked`, and then does what it is given here. */
function tree({ init, systemd = false, programs = {} }: Tree) {
  const root = mkdtempSync(join(tmpdir(), 'latchkey-power-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'proc/1'), { recursive: true });
  symlinkSync(init, join(root, 'proc/1/exe'));
  if (systemd) mkdirSync(join(root, 'run/systemd/system'), { recursive: true });
  for (const [path, script] of Object.entries(programs)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `#!/bin/sh\necho "${path} $*" >> ${root}/asked\n${script}\n`);
    chmodSync(join(root, path), 0o755);
  }
  const asked = (): string => (existsSync(join(root, 'asked')) ? readFileSync(join(root, 'asked'), 'utf8').trim() : '');
  return { power: powerLinux({ root, requestTimeoutMs: 2_000 }), asked, root };
}

const SYSTEMCTL = 'usr/bin/systemctl';
const REBOOT = 'sbin/reboot';

describe('a request for a reboot', () => {
  it('goes to systemd where it runs, with no argument that forces', async () => {
    const { power, asked } = tree({
      init: '/usr/lib/systemd/systemd',
      systemd: true,
      programs: { [SYSTEMCTL]: '', [REBOOT]: '' },
    });
    await power.reboot();
    expect(asked()).toBe(`${SYSTEMCTL} reboot`);
  });
  it.each(['/sbin/init', '/bin/busybox', '/sbin/openrc-init', '/sbin/runit', '/usr/lib/latchkey-lab/init'])(
    'goes to the own reboot program of %s, with no argument',
    async (init) => {
      const { power, asked } = tree({ init, programs: { [REBOOT]: '' } });
      await power.reboot();
      expect(asked()).toBe(REBOOT);
    },
  );
  it.each(['/bin/bash', '/bin/sh', '/usr/bin/node', '/usr/lib/systemd/systemd'])(
    'is not made where the first process is %s and systemd does not run',
    async (init) => {
      const { power, asked } = tree({ init, programs: { [SYSTEMCTL]: '', [REBOOT]: '' } });
      await refuses(power.available(), 'REBOOT_DENIED', 'init_unknown');
      await refuses(power.reboot(), 'REBOOT_DENIED', 'init_unknown');
      expect(asked()).toBe('');
    },
  );
  it('is not made by asking whether it could be', async () => {
    const { power, asked } = tree({ init: '/sbin/init', programs: { [REBOOT]: '' } });
    await power.available();
    expect(asked()).toBe('');
  });
  it('needs a program to ask', async () => {
    await refuses(tree({ init: '/sbin/init' }).power.available(), 'REBOOT_DENIED', 'reboot_missing');
    await refuses(tree({ init: '/x', systemd: true }).power.available(), 'REBOOT_DENIED', 'systemctl_missing');
  });
  it.each([
    ['exit 1', 'exit_1'],
    ['kill -KILL $$', 'killed'],
    ['exec sleep 60', 'timeout'],
  ])('is denied when the program does this: %s', async (script, reason) => {
    await refuses(tree({ init: '/sbin/init', programs: { [REBOOT]: script } }).power.reboot(), 'REBOOT_DENIED', reason);
  });
  it('was accepted when the shutdown took the program along', async () => {
    await tree({ init: '/sbin/init', programs: { [REBOOT]: 'kill -TERM $$' } }).power.reboot();
  });
});

describe('a program that asked the machine not to go down', () => {
  const BUSCTL = 'usr/bin/busctl';
  const inhibitor = (what: string, mode: string) => [what, 'dpkg', 'an upgrade runs', mode, 0, 123];
  const prints = (...list: unknown[]) => `echo '${JSON.stringify({ type: 'a(ssssuu)', data: [list] })}'`;
  const systemd = (busctl: string) =>
    tree({ init: '/x', systemd: true, programs: { [SYSTEMCTL]: '', [BUSCTL]: busctl } });

  it.each([
    ['a block of the shutdown', prints(inhibitor('sleep', 'block'), inhibitor('idle:shutdown', 'block')), 'inhibited'],
    ['an answer that is not understood', 'echo "{}"', 'inhibitors_unreadable'],
    ['no JSON', 'echo shutdown dpkg block', 'inhibitors_unreadable'],
  ])('is obeyed: %s', async (_, busctl, reason) => {
    const { power, asked } = systemd(busctl);
    await refuses(power.reboot(), 'REBOOT_DENIED', reason);
    expect(asked()).not.toContain(SYSTEMCTL);
  });
  it.each([
    ['a delay is not a refusal', prints(inhibitor('shutdown', 'delay'))],
    ['sleep is not shutdown', prints(inhibitor('sleep', 'block'))],
    ['nobody', prints()],
    ['without logind nobody can', 'exit 1'],
  ])('is none: %s', async (_, busctl) => {
    const { power, asked } = systemd(busctl);
    await power.reboot();
    expect(asked()).toContain(`${SYSTEMCTL} reboot`);
  });
  it('does not keep a reset from being accepted: it may be done by then', async () => {
    await systemd(prints(inhibitor('shutdown', 'block'))).power.available();
  });
});

describe('words to signed-in people', () => {
  it('come on standard input, without control characters', async () => {
    const { power, asked, root } = tree({
      init: '/sbin/init',
      programs: { 'usr/bin/wall': 'cat > "$(dirname "$0")/words"' },
    });
    await power.warn('Restart\u001b[2J now\u0007');
    expect([asked(), readFileSync(join(root, 'usr/bin/words'), 'utf8')]).toEqual([
      'usr/bin/wall',
      'Restart [2J now \n',
    ]);
  });
  it('never fail', async () => {
    await tree({ init: '/sbin/init' }).power.warn('any');
    await tree({ init: '/sbin/init', programs: { 'usr/bin/wall': 'exit 3' } }).power.warn('any');
  });
});
