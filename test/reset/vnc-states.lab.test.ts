// Where a VNC secret stands, as an operator is told of it, with real servers kept by systemd: each state once, and what the
// reboot makes of it. Servers of three kinds run side by side in one guest; each reset is of the one that it names.

import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { obfuscate } from '../../agent/adapters/vncauth.ts';
import { demandSystemd, until } from '../lab/fixture.ts';
import type { Guest } from '../lab/guest.ts';
import { drawPassword, type Reset, Scene, shadowField, vncSays } from './scene.ts';

const KEYS = '/home/ada/keys';
/** From here the agent probes. */
const PROBE_ADDRESS = '127.88.0.1';

const unit = (command: string): string => `[Unit]
After=tigervncserver@:1.service
[Service]
User=ada
Environment=XAUTHORITY=/home/ada/.Xauthority
ExecStart=${command}
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`;

/** The first reads its password at its start; the second can be told at run time to read another file than it was named. */
const units: Readonly<Record<string, string>> = {
  'shared.service': unit(
    `/usr/bin/x11vnc -display :1 -localhost -forever -quiet -norc -rfbport 5902 -passwdfile ${KEYS}/5902`,
  ),
  'own.service': unit(
    `/usr/bin/Xtigervnc :3 -localhost=1 -ac -SecurityTypes VncAuth -rfbauth ${KEYS}/5903 -AllowOverride=PasswordFile -BlacklistTimeout=3600`,
  ),
};

let scene: Scene | undefined;
let machine: Promise<Guest> | undefined;
const first = drawPassword(8);

async function must(guest: Guest, script: string): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-c', script]);
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
}

async function makeMachine(place: Scene): Promise<Guest> {
  const guest = await place.guest({ name: `states-${process.pid}`, layout: 'systemd' });
  await must(guest, `install -d -m 700 -o ada -g ada ${KEYS}`);
  await guest.writeFile(`${KEYS}/5902`, `${first}\n`, 0o600, 'ada');
  for (const name of ['5903', 'other']) {
    await guest.writeFile(`${KEYS}/${name}`, obfuscate(Buffer.from(first)), 0o600, 'ada');
  }
  for (const [name, text] of Object.entries(units)) await guest.writeFile(`/etc/systemd/system/${name}`, text);
  await must(guest, `systemctl daemon-reload; systemctl enable --now ${Object.keys(units).join(' ')} 2>&1`);
  return guest;
}

async function open(context: TestContext): Promise<{ scene: Scene; guest: Guest }> {
  demandSystemd(context);
  scene ??= await Scene.open();
  machine ??= makeMachine(scene);
  const guest = await machine;
  await scene.controlPlane.untilOnline(guest.name);
  for (const port of [5901, 5902, 5903]) await guest.untilListening(port);
  return { scene, guest };
}

afterAll(() => scene?.close());

function resetOf(place: Scene, guest: Guest, server: string, ...more: string[]): Promise<Reset> {
  return place.reset(['vnc', 'reset', guest.name, '--server', server, ...more]);
}

/** What the receipt of VNC_SET says, by the control plane's own record. */
async function setReceipt(place: Scene, guest: Guest): Promise<Record<string, unknown>> {
  const { items } = await place.controlPlane.api(place.apiKey).operations({ vm: guest.name });
  return items[0]?.receipts.find(({ state }) => state === 'VNC_SET')?.detail ?? {};
}

describe('a VNC secret is', () => {
  it('verified where the new one is taken and the old one is not, in private files of their owner', async (context) => {
    const { scene, guest } = await open(context);
    const { done } = await scene.reset(['reset', guest.name, '--vnc', '--server', 'tigervnc:5901']);
    expect(done).toMatchObject({ state: 'DONE', vncState: 'verified', verified: { vnc: true } });
    expect(await setReceipt(scene, guest)).toMatchObject({
      vnc_state: 'verified',
      effective: 8,
      verified: { vnc: true },
    });
    await guest.untilListening(5901);
    // 115
    const { account = null, vnc = null } = done.secrets ?? {};
    expect(account?.startsWith(vnc ?? '')).toBe(false);
    expect(await must(guest, 'stat -c "%U %a %s" /home/ada/.vnc/passwd')).toBe('ada 600 8');
    expect(await vncSays(guest, vnc ?? '')).toBe('accepted');
    expect(await vncSays(guest, guest.vncPassword ?? '')).toBe('rejected');
  });

  it('restart_required where the server reads its password at its start, and the reboot does that', async (context) => {
    const { scene, guest } = await open(context);
    const { done } = await resetOf(scene, guest, 'x11vnc:5902');
    expect(await setReceipt(scene, guest)).toMatchObject({ vnc_state: 'restart_required', verified: { vnc: false } });
    expect(done).toMatchObject({ state: 'DONE', vncState: 'verified' });
    expect(done.warnings).toContain('VNC_RESTART_REQUIRED');
    await guest.untilListening(5902);
    expect(await vncSays(guest, done.secrets?.vnc ?? '', 5902, '127.0.0.1')).toBe('accepted');
    expect(await vncSays(guest, first, 5902, '127.0.0.1')).toBe('rejected');
  });

  it('verified before the reboot where the operator agreed to a restart: of that service, and of nothing else', async (context) => {
    const { scene, guest } = await open(context);
    const { done } = await resetOf(scene, guest, 'x11vnc:5902', '--restart-vnc');
    expect(await setReceipt(scene, guest)).toMatchObject({ vnc_state: 'verified', verified: { vnc: true } });
    expect(done).toMatchObject({ state: 'DONE', vncState: 'verified' });
    // In the boot before this one: once for the restart, and once on the way down.
    const stops = (name: string) => must(guest, `journalctl -q -b -1 -o cat -u ${name} | grep -c "^Stopping" || true`);
    expect([await stops('shared'), await stops('own')]).toEqual(['2', '1']);
    expect(Number(await stops('tigervncserver@:1'))).toBeLessThan(2);
    expect(done.warnings).not.toContain('VNC_RESTART_REQUIRED');
  });

  it('old_accepted where the server obeys another file than it was named, until it is started anew', async (context) => {
    const { scene, guest } = await open(context);
    const configure = `tigervncconfig -display :3 -set PasswordFile=${KEYS}/other`;
    await must(guest, `setpriv --reuid ada --regid ada --clear-groups ${configure}`);
    const { done } = await resetOf(scene, guest, 'tigervnc:5903');
    expect(await setReceipt(scene, guest)).toMatchObject({ vnc_state: 'old_accepted', verified: { vnc: false } });
    expect(done).toMatchObject({ state: 'DONE', vncState: 'verified' });
    expect(done.warnings).toContain('VNC_RESTART_REQUIRED');
  });

  it('unverifiable where the server lets nobody in after failed logins', async (context) => {
    const { scene, guest } = await open(context);
    for (let tried = 0; tried < 6; tried += 1) await vncSays(guest, drawPassword(8), 5903, PROBE_ADDRESS);
    const { done } = await resetOf(scene, guest, 'tigervnc:5903');
    expect(await setReceipt(scene, guest)).toMatchObject({ vnc_state: 'unverifiable', reason: 'blocked' });
    // The count was in the server's memory.
    expect(done).toMatchObject({ state: 'DONE', vncState: 'verified' });
  });

  it('written where the executor was killed before the server had answered', async (context) => {
    const { scene, guest } = await open(context);
    const digest = `sha256sum < ${KEYS}/5903`;
    const before = await must(guest, digest);
    await must(guest, 'systemctl kill --signal=STOP own');
    const running = resetOf(scene, guest, 'tigervnc:5903');
    await until(async () => (await must(guest, digest)) !== before);
    await must(guest, 'systemctl kill --signal=KILL "latchkey-executor@*"');
    const { code, done } = await running;
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 4,
      state: 'PARTIAL',
      reason: 'INTERRUPTED',
    });
    expect(done.vncState).toBe('written');
    await must(guest, 'systemctl kill --signal=CONT own');
  });
});

describe('a VNC secret that cannot be set is refused before anything is changed:', () => {
  it('decision by what counts: the first eight characters are those in force', async (context) => {
    const { scene, guest } = await open(context);
    const known = drawPassword(8);
    await guest.writeFile(`${KEYS}/5903`, obfuscate(Buffer.from(known)), 0o600, 'ada');
    const before = await shadowField(guest, 'root');
    const argv = ['reset', guest.name, '--vnc', '--server', 'tigervnc:5903', '--vnc-password-stdin'];
    const { code, done } = await scene.reset(argv, { input: `${known}-and-more\n` });
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 3,
      state: 'REFUSED',
      reason: 'PASSWORD_POLICY',
    });
    expect(await shadowField(guest, 'root')).toBe(before);
  });

  it('its file is a link', async (context) => {
    const { scene, guest } = await open(context);
    await must(guest, `mv ${KEYS}/5903 ${KEYS}/moved; ln -s moved ${KEYS}/5903`);
    const before = await shadowField(guest, 'root');
    const { done } = await scene.reset(['reset', guest.name, '--vnc', '--server', 'tigervnc:5903']);
    expect(done).toMatchObject({ state: 'REFUSED', code: 'VNC_FAILED' });
    expect(await shadowField(guest, 'root')).toBe(before);
  });

  it('there are several servers and none is named', async (context) => {
    const { scene, guest } = await open(context);
    const { code, done } = await scene.reset(['vnc', 'reset', guest.name]);
    expect({ code, reason: done.code }).toEqual({ code: 3, reason: 'VNC_AMBIGUOUS' });
  });
});
