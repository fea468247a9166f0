// What a kind of VNC server must be made to do for the rules of its port, and what the rules have in common.

import { equal, ok } from 'node:assert/strict';
import type { Vnc, VncFile, VncServer } from '../../../agent/ports/vnc.ts';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';

/**
 * `wrapper` reads a copy of its source file at each login, `direct` the file itself, `plain` a file of passwords in clear,
 * and `at_start` such a file once only. `account` asks PAM, `inline` has the password in its arguments, `unclear` in a
 * place that cannot be told, `open` has none, and `login` asks for a user's name and a password that stand in its
 * configuration. With `none` there is no server.
 */
export type VncSetting =
  | 'wrapper'
  | 'direct'
  | 'plain'
  | 'at_start'
  | 'account'
  | 'inline'
  | 'unclear'
  | 'open'
  | 'login'
  | 'none';
export type VncTrouble =
  | 'folder_is_link'
  | 'folder_writable'
  | 'file_is_link'
  | 'file_of_other'
  | 'source_gone'
  | 'live_unwritable';

/** The servers that are held to the contract in a guest. */
export type VncStandName = 'tigervnc' | 'x0tigervnc' | 'tightvnc' | 'x11vnc' | 'wayvnc';

/** What one kind of server can do, and how it is known. */
export type VncTraits = Readonly<{
  id: string;
  port: number;
  kind: 'vncauth' | 'login';
  /** Where it has a display of its own. */
  display?: 'own';
  /** Whose server it is; 1000 where it does not say otherwise. */
  ownerUid?: number;
  /** The ordinary one first. */
  settings: readonly VncSetting[];
  /** After so many failed logins it answers nobody for a while; `null` for one that does not count. */
  lockoutAfter: number | null;
}>;

export const tigervncTraits: VncTraits = {
  id: 'tigervnc:5901',
  port: 5901,
  kind: 'vncauth',
  display: 'own',
  settings: ['wrapper', 'direct', 'account', 'inline'],
  lockoutAfter: 5,
};

export type VncSubject = Readonly<{
  /** Starts one server of this kind with a password of its own, and no other. */
  given(setting: VncSetting, trouble?: VncTrouble): Promise<Given>;
  stop(): Promise<void>;
  /** Stops the server and starts it again, as a reboot does. */
  restart(): Promise<void>;
  /** The text of a file as the server sees it. */
  contentOf(path: string): Promise<string>;
  /** Owner, mode and size of a file as the server sees it. */
  factsOf(file: VncFile): Promise<{ uid: number; mode: number; bytes: number }>;
}>;

/** `other` is a second password that a file of several holds. */
export type Given = Readonly<{ vnc: Vnc; password: Secret; other?: Secret }>;

export async function only(vnc: Vnc): Promise<VncServer> {
  const [server, ...others] = await vnc.list();
  ok(server, 'no server was found');
  equal(others.length, 0);
  return server;
}

/** What counts of a password. */
export function countedOf(password: Secret, { effective }: Pick<VncServer, 'effective'>): Secret {
  return Secret.ofText(password.reveal().slice(0, effective));
}

export async function verdict(asked: ReturnType<Vnc['probe']>): Promise<string> {
  return (await asked).verdict;
}

/** Setting a password must fail with the reason, leave the files as they were and the old password in force. */
export function refusedFor(
  setting: VncSetting,
  trouble: VncTrouble | undefined,
  reason: string,
): Rule<VncSubject>['run'] {
  return async (subject) => {
    const { vnc, password } = await subject.given(setting, trouble);
    const server = await only(vnc);
    await refuses(vnc.demandChangeable(server), 'VNC_FAILED', reason);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', reason);
    equal(await verdict(vnc.probe(server, password)), 'accepted');
  };
}
