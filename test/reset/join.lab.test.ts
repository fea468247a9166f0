// How a machine gets its join token where it is given as a credential, under the product's units: it enrols by itself, and what
// is left of the token afterwards does no harm. One guest serves the tests, in their order.

import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { demandSystemd, until } from '../lab/fixture.ts';
import { type Guest, KERNEL_COMMAND_LINE } from '../lab/guest.ts';
import { Scene } from './scene.ts';

const IDENTITY = '/var/lib/latchkey-agent/executor/identity.json';
const OTHER_ID = '11111111222222223333333344444444';
const UNIT = 'latchkey-enrol.service';

let scene: Scene | undefined;
let machine: Promise<Guest> | undefined;
afterAll(() => scene?.close());

async function open(context: TestContext): Promise<{ scene: Scene; guest: Guest }> {
  demandSystemd(context);
  scene ??= await Scene.open();
  machine ??= scene.guest({ name: `given-${process.pid}`, layout: 'systemd', vnc: false, delivery: 'credential' });
  return { scene, guest: await machine };
}

async function must(guest: Guest, script: string): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-c', script]);
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
}

async function reboot(guest: Guest): Promise<void> {
  const next = guest.boots + 1;
  await guest.exec(['systemctl', 'reboot']).catch(() => undefined);
  await guest.waitForBoot(next);
}

/** Waits until the enrolment of this boot is over; what it wrote to the log. */
async function enrolment(guest: Guest): Promise<string> {
  const isOver = async () => {
    const facts = await must(guest, `systemctl show -p ActiveState -p ExecMainExitTimestampMonotonic ${UNIT}`);
    return /^ActiveState=(inactive|failed)$/m.test(facts) && !/^ExecMainExitTimestampMonotonic=0$/m.test(facts);
  };
  await until(isOver);
  await must(guest, 'journalctl --sync');
  return must(guest, `journalctl --boot --no-pager --output cat --unit ${UNIT}`);
}

/** As its systemd was given it. */
const credential = (guest: Guest) =>
  must(guest, 'cat "$(tr "\\0" "\\n" < /proc/1/environ | sed -n s/^CREDENTIALS_DIRECTORY=//p)/latchkey.join-token"');

describe('a join token that is a systemd credential', () => {
  it('enrols the machine at its first boot, and no user of the machine sees it', async (context) => {
    const { scene, guest } = await open(context);
    expect((await scene.controlPlane.untilOnline(guest.name)).flags).toEqual([]);
    const log = await enrolment(guest);
    expect(log).toContain('enrolled as agt_');
    expect(log).toContain('cannot be deleted from here');
    const token = await credential(guest);
    expect(token).toMatch(/^lkj_[A-Za-z0-9_-]{43}$/);
    const seen = await guest.exec(['grep', '-rlsF', '-e', token, '/run', '/etc', '/var', '/tmp'], { user: 'ada' });
    expect(seen.stdout).toBe('');
    const kept = await guest.exec(['grep', '-rlsF', '-e', token, '/etc', '/var', '/tmp']);
    expect(kept.stdout).toBe('');
  });

  it('is still there at the next boot, and nobody is asked again', async (context) => {
    const { scene, guest } = await open(context);
    const before = await scene.controlPlane.untilOnline(guest.name);
    await reboot(guest);
    expect(await enrolment(guest)).toContain(`enrolled as ${before.agent}`);
    expect(await scene.controlPlane.untilOnline(guest.name)).toMatchObject({ id: before.id, flags: [] });
  });

  it('77 is not used where it stands on the kernel’s command line as well, and the doctor says so', async (context) => {
    const { scene, guest } = await open(context);
    await scene.controlPlane.untilOnline(guest.name);
    const id = await must(guest, 'cat /etc/machine-id');
    guest.setKernelCommandLine(
      `${KERNEL_COMMAND_LINE} systemd.set_credential=latchkey.join-token:${await credential(guest)}`,
    );
    // A copy, which would try to get an identity of its own.
    await must(guest, `echo ${OTHER_ID} > /etc/machine-id`);
    await reboot(guest);
    const log = await enrolment(guest);
    expect(log).toMatch(/JOIN_TOKEN_INVALID .*source=credential reason=kernel_command_line/);
    expect(log).not.toMatch(/lkj_/);
    const { stdout } = await guest.exec(['/usr/bin/latchkey-agent', 'doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; code?: string; reason?: string }[] };
    expect(checks).toContainEqual(
      expect.objectContaining({
        name: 'identity',
        verdict: 'warning',
        code: 'JOIN_TOKEN_EXPOSED',
        reason: 'kernel_command_line',
      }),
    );
    expect((await scene.controlPlane.api().vm(guest.name)).flags).toEqual([]);
    guest.setKernelCommandLine(KERNEL_COMMAND_LINE);
    await must(guest, `echo ${id} > /etc/machine-id`);
  });

  it('75 that was used up is of no use to a copy, which then becomes itself again', async (context) => {
    const { scene, guest } = await open(context);
    const before = await scene.controlPlane.api().vm(guest.name);
    const [id, identity] = [await must(guest, 'cat /etc/machine-id'), await must(guest, `sha256sum ${IDENTITY}`)];
    await must(guest, `echo ${OTHER_ID} > /etc/machine-id`);
    await reboot(guest);
    expect(await enrolment(guest)).toContain('JOIN_TOKEN_INVALID');
    expect((await scene.controlPlane.api().vm(guest.name)).online).toBe(false);
    // The alarm is the one for a token that may have been stolen before its first use.
    expect((await scene.controlPlane.api().vm(guest.name)).flags).toEqual(['JOIN_TOKEN_USED']);
    expect(await must(guest, `sha256sum ${IDENTITY}`)).toBe(identity);
    await must(guest, `echo ${id} > /etc/machine-id`);
    await reboot(guest);
    expect((await scene.controlPlane.untilOnline(guest.name)).id).toBe(before.id);
  });
});

describe('a join token from a config drive', () => {
  it('makes a copy a machine of its own, before a credential that came along, and is deleted', async (context) => {
    const { scene, guest } = await open(context);
    const before = await scene.controlPlane.api().vm(guest.name);
    const own = `own-${process.pid}`;
    const { token } = await scene.controlPlane.must<{ token: string }>(['token', 'create', '--name', own]);
    await must(
      guest,
      `systemctl stop latchkey-agent; echo ${OTHER_ID} > /etc/machine-id; mkdir -m 0700 /run/latchkey-seed`,
    );
    await guest.writeFile('/run/latchkey-seed/join-token', token, 0o600);
    await must(guest, `systemctl start ${UNIT} latchkey-agent`);
    const vm = await scene.controlPlane.untilOnline(own);
    expect(vm.ik?.x).not.toBe(before.ik?.x);
    expect(await must(guest, `cat ${IDENTITY}`)).toContain(vm.agent);
    await until(async () => (await must(guest, 'ls -A /run/latchkey-seed')) === '');
  });
});
