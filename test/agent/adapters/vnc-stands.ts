// How each kind of VNC server is started in a lab guest, in every setting that its rules ask for. Command lines only: it
// starts nothing itself.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { servicesSystemd } from '../../../agent/adapters/services-systemd.ts';
import { vncTigervnc } from '../../../agent/adapters/vnc-tigervnc.ts';
import { vncTightvnc } from '../../../agent/adapters/vnc-tightvnc.ts';
import { vncWayvnc } from '../../../agent/adapters/vnc-wayvnc.ts';
import { vncX11vnc } from '../../../agent/adapters/vnc-x11vnc.ts';
import { obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Vnc } from '../../../agent/ports/vnc.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { Need } from '../contracts/guest-run.ts';
import { tigervncTraits, type VncSetting, type VncStandName, type VncTraits } from '../contracts/vnc-subject.ts';

export const PASSWORD_FILE = '/home/ada/.vnc/passwd';
/** Where a compositor has its socket, and wayvnc its certificate. */
export const HOME_OF_WAYLAND = '/home/ada/wayland';
const PORT = 5901;
const OPEN_TO_ALL = ['-nolisten', 'tcp', '-ac'];

export type VncStand = Readonly<{
  traits: VncTraits;
  vnc: Vnc;
  /** Base name of the program whose port is waited for. */
  program: string;
  /** A display of another program that the server shows, and what is there once it is up. */
  display?: Readonly<{ argv: readonly string[]; up: string }>;
  stopSignal: 'SIGTERM' | 'SIGKILL';
  argv(setting: VncSetting, password: Secret): readonly string[];
}>;

const options = { macKey: randomBytes(32), services: servicesSystemd() };

function tigervncArguments(setting: VncSetting, password: Secret): readonly string[] {
  const types = setting === 'account' ? 'Plain' : 'VncAuth';
  const shared = [`-rfbauth=${PASSWORD_FILE}`, '-SecurityTypes', types];
  return setting === 'inline' ? [...shared, `Password=${inHex(password)}`] : shared;
}

const tigervnc: VncStand = {
  traits: tigervncTraits,
  vnc: vncTigervnc(options),
  program: 'Xtigervnc',
  stopSignal: 'SIGTERM',
  argv(setting, password) {
    if (setting !== 'wrapper') return ['Xtigervnc', ':1', '-localhost=1', ...tigervncArguments(setting, password)];
    const security = ['-localhost', 'yes', '-SecurityTypes', 'VncAuth'];
    return ['tigervncserver', ':1', '-fg', ...security, '-xstartup', '/usr/lib/latchkey-lab/session'];
  },
};

/** Shows a display that is there: `tigervnc`, too, and the same program whichever way it was started. */
const x0tigervnc: VncStand = {
  traits: {
    id: 'tigervnc:5901',
    port: PORT,
    kind: 'vncauth',
    settings: ['direct', 'account', 'inline'],
    lockoutAfter: 5,
  },
  vnc: vncTigervnc(options),
  program: 'X0tigervnc',
  // It looks for a caught signal only when something else wakes it.
  stopSignal: 'SIGKILL',
  display: { argv: ['Xvfb', ':2', '-screen', '0', '64x64x24', ...OPEN_TO_ALL], up: '/tmp/.X11-unix/X2' },
  argv: (setting, password) => [
    'X0tigervnc',
    '-display=:2',
    `-rfbport=${PORT}`,
    '-localhost=1',
    ...tigervncArguments(setting, password),
  ],
};

const tightvnc: VncStand = {
  traits: {
    id: 'tightvnc:5901',
    port: PORT,
    kind: 'vncauth',
    display: 'own',
    settings: ['direct', 'open'],
    lockoutAfter: 5,
  },
  vnc: vncTightvnc(options),
  program: 'Xtightvnc',
  stopSignal: 'SIGTERM',
  argv(setting) {
    const server = ['Xtightvnc', ':1', '-localhost', '-rfbport', String(PORT), '-geometry', '64x64', '-depth', '16'];
    return setting === 'open' ? server : [...server, '-rfbauth', PASSWORD_FILE];
  },
};

const x11vnc: VncStand = {
  traits: {
    id: 'x11vnc:5901',
    port: PORT,
    kind: 'vncauth',
    settings: ['direct', 'plain', 'at_start', 'account', 'inline', 'unclear', 'open'],
    lockoutAfter: null,
  },
  vnc: vncX11vnc(options),
  program: 'x11vnc',
  // Now and then it hangs while it tidies up.
  stopSignal: 'SIGKILL',
  ...(x0tigervnc.display ? { display: x0tigervnc.display } : {}),
  argv(setting, password) {
    const server = ['x11vnc', '-display', ':2', '-localhost', '-forever', '-quiet', '-rfbport', String(PORT)];
    return [...server, ...x11vncCredential(setting, password)];
  },
};

function x11vncCredential(setting: VncSetting, password: Secret): readonly string[] {
  switch (setting) {
    case 'plain':
      return ['-passwdfile', `read:${PASSWORD_FILE}`];
    case 'at_start':
      return ['-passwdfile', PASSWORD_FILE];
    case 'unclear':
      return ['-passwdfile', `rm:${PASSWORD_FILE}`];
    case 'inline':
      return ['-passwd', password.reveal()];
    case 'account':
      return ['-unixpw_unsafe'];
    case 'open':
      return ['-nopw'];
    default:
      return ['-rfbauth', PASSWORD_FILE];
  }
}

const RUNTIME = `XDG_RUNTIME_DIR=${HOME_OF_WAYLAND}`;
const SWAY = ['WLR_BACKENDS=headless', 'WLR_LIBINPUT_NO_DEVICES=1', 'WLR_RENDERER=pixman', 'sway', '-c', '/dev/null'];

/** On a compositor without a screen. It answers a wrong password as if it were right, and goes on. */
const wayvnc: VncStand = {
  traits: { id: 'wayvnc:5901', port: PORT, kind: 'login', settings: ['login', 'account', 'open'], lockoutAfter: null },
  vnc: vncWayvnc(options),
  program: 'wayvnc',
  stopSignal: 'SIGTERM',
  display: { argv: ['env', RUNTIME, ...SWAY], up: `${HOME_OF_WAYLAND}/wayland-1` },
  argv: () => ['env', RUNTIME, 'WAYLAND_DISPLAY=wayland-1', 'wayvnc', '-C', PASSWORD_FILE],
};

/** wayvnc's configuration in one of its settings. */
export function wayvncConfiguration(setting: VncSetting, password: Secret): string {
  const login = setting === 'open' ? 'false' : 'true';
  return [
    '# of ada',
    'address=127.0.0.1',
    `port=${PORT}`,
    `enable_auth=${login}`,
    ...(setting === 'account' ? ['enable_pam=true'] : []),
    ' username = ada=lovelace',
    `password=${password.reveal()}`,
    `private_key_file=${HOME_OF_WAYLAND}/key.pem`,
    `certificate_file=${HOME_OF_WAYLAND}/cert.pem`,
    '',
  ].join('\n');
}

export const vncStands: Readonly<Record<VncStandName, VncStand>> = { tigervnc, x0tigervnc, tightvnc, x11vnc, wayvnc };

const programs: Readonly<Record<VncStandName, Readonly<{ paths: readonly string[]; packages: string }>>> = {
  tigervnc: { paths: ['Xtigervnc', 'tigervncserver'], packages: 'tigervnc-standalone-server' },
  x0tigervnc: { paths: ['X0tigervnc', 'Xvfb'], packages: 'tigervnc-scraping-server xvfb' },
  tightvnc: { paths: ['Xtightvnc'], packages: 'tightvncserver' },
  x11vnc: { paths: ['x11vnc', 'Xvfb'], packages: 'x11vnc xvfb' },
  wayvnc: { paths: ['wayvnc', 'sway', 'openssl'], packages: 'wayvnc sway openssl' },
};

/** For a test that asks whether its rules can run at all. */
export function needOf(name: VncStandName): Need {
  const { paths, packages } = programs[name];
  const met = paths.every((path) => existsSync(`/usr/bin/${path}`));
  return { name, command: `apt-get install ${packages}`, met };
}

function inHex(password: Secret): string {
  return Buffer.from(obfuscate(password.revealBytes())).toString('hex');
}
