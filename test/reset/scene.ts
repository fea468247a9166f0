// What whole-reset tests share: a control plane, an operator who proves with a key, and guests; and how to ask a guest
// whether a password works. Passwords are drawn at run time.

import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatePassword } from '../../protocol/password.ts';
import { type CommandResult, ControlPlane, type ControlPlaneOptions } from '../lab/control-plane.ts';
import type { AttachedOptions } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { VNC_PORT } from '../lab/services.ts';

export const NODE = '/usr/lib/latchkey-agent/node_modules/.bin/node';

/** The last JSON line of a reset. */
export type Done = Readonly<{
  op: string;
  state: string;
  code: string | null;
  account: string | null;
  verified: { account: boolean | null; vnc: boolean | 'absent' | null; reboot: boolean };
  vncState: string | null;
  bootIdBefore: string | null;
  bootIdAfter: string | null;
  warnings: readonly string[];
  secrets?: { account: string | null; vnc: string | null };
}>;

export type Reset = CommandResult & { lines: readonly Record<string, unknown>[]; done: Done };

export class Scene {
  readonly controlPlane: ControlPlane;
  readonly keyFile: string;
  readonly apiKey: string;
  readonly #guests: Guest[] = [];

  private constructor(controlPlane: ControlPlane, keyFile: string, apiKey: string) {
    this.controlPlane = controlPlane;
    this.keyFile = keyFile;
    this.apiKey = apiKey;
  }

  static async open(options: ControlPlaneOptions = {}): Promise<Scene> {
    const controlPlane = await ControlPlane.start(options);
    const keyFile = join(controlPlane.folder, 'operator.jwk');
    const { apiKey } = await controlPlane.must<{ apiKey: string }>([
      'operator',
      'add',
      'tester',
      '--generate-key',
      keyFile,
    ]);
    return new Scene(controlPlane, keyFile, apiKey);
  }

  /** A guest, with these files from its first boot on, that is enrolled, connected and, where it has a VNC server, serving. */
  async guest({
    files = {},
    ...options
  }: AttachedOptions & { files?: Readonly<Record<string, string>> }): Promise<Guest> {
    const guest = await this.controlPlane.attach(options);
    this.#guests.push(guest);
    for (const [path, text] of Object.entries(files)) await guest.writeFile(path, text);
    await guest.boot();
    await this.controlPlane.untilOnline(options.name);
    if (guest.vncPassword !== undefined) await guest.untilListening(VNC_PORT);
    return guest;
  }

  async close(): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.destroy()));
    await this.controlPlane.destroy();
  }

  /** Runs a command as the operator, who proves with the key where it is asked for. */
  run(argv: readonly string[], options: { input?: string; state?: string } = {}): Promise<CommandResult> {
    return this.controlPlane.latchkey([...argv, '--api-key-file', this.#apiKeyFile()], options);
  }

  /** `latchkey reset` or `vnc reset`, to its end, with the generated passwords revealed. */
  async reset(argv: readonly string[], { input = '' } = {}): Promise<Reset> {
    const result = await this.run([...argv, '--yes', '--json', '--reveal', '--key-file', this.keyFile], { input });
    const lines = result.stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    return { ...result, lines, done: lines.at(-1) as unknown as Done };
  }

  /** Waits until an operation of the machine is in that state, or was; its id. */
  async untilState({ name }: Readonly<{ name: string }>, state: string): Promise<string> {
    const api = this.controlPlane.api(this.apiKey);
    for (;;) {
      const { items } = await api.operations({ vm: name }).catch(() => ({ items: [] }));
      const open = items.find(({ ended }) => !ended);
      if (open && (open.state === state || open.receipts.some((receipt) => receipt.state === state))) return open.op;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #apiKeyFile(): string {
    const path = join(this.controlPlane.folder, 'tester.api-key');
    if (!existsSync(path)) writeFileSync(path, this.apiKey, { mode: 0o600 });
    return path;
  }
}

export function drawPassword(length = 16): string {
  return generatePassword(length, randomBytes).reveal();
}

/** Whether the system's own checker accepts the password (unix_chkpwd(8)). */
export async function opens(guest: Guest, account: string, password: string): Promise<boolean> {
  const { code } = await guest.exec(['/usr/sbin/unix_chkpwd', account, 'nonull'], { input: `${password}\0` });
  return code === 0;
}

/** What the VNC server says to the password: `accepted`, `rejected` or `unknown`. */
export async function vncSays(guest: Guest, password: string, port = VNC_PORT, from?: string): Promise<string> {
  const program = '/usr/lib/latchkey-agent/test/lab/rfb-in-guest.ts';
  const { stdout, stderr, code } = await guest.exec([NODE, program, String(port), ...(from ? [from] : [])], {
    input: password,
  });
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}

/** The password field of an account's entry: for comparing, never for showing. */
export async function shadowField(guest: Guest, account: string): Promise<string> {
  const lines = (await guest.readFile('/etc/shadow')).toString().split('\n');
  return lines.find((line) => line.startsWith(`${account}:`))?.split(':')[1] ?? '';
}
