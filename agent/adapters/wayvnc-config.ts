// wayvnc's configuration file: what it says of the credential, and the same file with another password in it. Pure.

import { Failure } from '../../protocol/failure.ts';
import type { PasswordFormat } from './password-format.ts';

export type WayvncConfig = Readonly<{
  /** Without it the server lets everybody in. */
  asksForLogin: boolean;
  /** The login is an account's. */
  byAccount: boolean;
  user: string;
  port: string | undefined;
}>;

export function parseWayvncConfig(content: Uint8Array): WayvncConfig {
  const said = new Map(
    linesOf(content).flatMap(({ key, value }) => (key === undefined ? [] : [[key, value] as const])),
  );
  const isOn = (name: string): boolean => said.has(name) && said.get(name) !== 'false';
  return {
    asksForLogin: isOn('enable_auth'),
    byAccount: isOn('enable_pam'),
    user: said.get('username') ?? '',
    port: said.get('port'),
  };
}

/** The password is a line among others, which stay as they are; every byte of it counts. */
export const wayvncConfig: PasswordFormat = {
  bytesMax: 16_384,
  effective: (password) => Uint8Array.from(password),
  encode(password, before) {
    // A server without a file has no login, and there is nothing to change.
    if (before === undefined) throw new Failure('VNC_FAILED', { reason: 'source_unknown' });
    const kept = linesOf(before);
    const first = kept.findIndex(({ key }) => key === PASSWORD);
    const line = { key: PASSWORD, value: text(password), raw: `${PASSWORD}=${text(password)}` };
    if (line.value !== line.value.trim() || line.value === '')
      throw new Failure('VNC_FAILED', { reason: 'unstorable' });
    const others = kept.filter(({ key }) => key !== PASSWORD);
    const lines = first < 0 ? [...others, line] : others.toSpliced(first, 0, line);
    return Buffer.from(lines.map(({ raw }) => `${raw}\n`).join(''), 'latin1');
  },
  decode(content) {
    // The last of a name counts.
    const value = linesOf(content).findLast(({ key }) => key === PASSWORD)?.value;
    return value ? Buffer.from(value, 'latin1') : undefined;
  },
};

const PASSWORD = 'password';

type Line = Readonly<{ key: string | undefined; value: string; raw: string }>;

function linesOf(content: Uint8Array): readonly Line[] {
  const lines = text(content).split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((raw) => {
    const line = raw.trim();
    const at = line.indexOf('=');
    if (line.startsWith('#') || at < 0) return { key: undefined, value: '', raw };
    return { key: line.slice(0, at).trimEnd(), value: line.slice(at + 1).trimStart(), raw };
  });
}

/** A character a byte, whatever the bytes mean. */
function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
