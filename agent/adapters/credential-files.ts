// The files that hold one VNC server's credential, opened together: hashed, compared and replaced as one. Either every
// file has the new password, or all of them are as they were.

import { createHmac } from 'node:crypto';
import { Failure } from '../../protocol/failure.ts';
import type { VncFile, VncServer } from '../ports/vnc.ts';
import { type OwnerFile, openOwnerFile, type Writer } from './owner-file.ts';
import type { PasswordFormat } from './password-format.ts';
import { type Found, MACHINE_ROOT, rootOf } from './vnc-process.ts';

export type Target = Readonly<{ role: VncFile['role']; path: string; file: OwnerFile }>;

/** The files of a record's server: the source by the record, the live one by what runs now. */
export function openTargets(server: VncServer, found: Found | undefined, writer: Writer): readonly Target[] {
  const targets: Target[] = [];
  try {
    if (server.source !== null) {
      const file = openOwnerFile({ root: MACHINE_ROOT, path: server.source }, server.owner, writer);
      targets.push({ role: 'source', path: server.source, file });
    }
    if (found?.live !== undefined) {
      const file = openOwnerFile({ root: rootOf(found.process.pid), path: found.live }, server.owner, writer);
      if (targets.some((target) => target.file.isSame(file))) file.close();
      else targets.push({ role: 'live', path: found.live, file });
    }
    return targets;
  } catch (error) {
    closeAll(targets);
    throw error;
  }
}

export function closeAll(targets: readonly Target[]): void {
  for (const { file } of targets) file.close();
}

export function hashAll(targets: readonly Target[], macKey: Uint8Array): readonly VncFile[] {
  return targets.flatMap(({ role, path, file }) => {
    const content = file.read();
    if (content === undefined) return [];
    return [{ role, path, hash: createHmac('sha256', macKey).update(content).digest('base64url') }];
  });
}

/** Throws `VNC_FAILED` where a file cannot be read, is larger than its server would read, or has that password already. */
export function assertReplaceable(
  targets: readonly Target[],
  password: Uint8Array | undefined,
  format: PasswordFormat,
): void {
  targets.forEach(({ file }, index) => {
    const content = file.read();
    try {
      assertOfFormat(content, format);
      if (index === targets.length - 1 && password) assertDiffers(content, password, format);
    } finally {
      content?.fill(0);
    }
  });
}

/** Writes the same password to every file, or leaves all of them as they were. Returns the one that was in force. */
export async function replaceAll(
  targets: readonly Target[],
  password: Uint8Array,
  format: PasswordFormat,
): Promise<Uint8Array | undefined> {
  // The last is what the server reads now: the live copy, or the source itself.
  const before = targets.map(({ file }) => ({ file, content: file.read() }));
  const contents: Uint8Array[] = [];
  try {
    for (const each of before) assertOfFormat(each.content, format);
    const current = before.at(-1)?.content;
    assertDiffers(current, password, format);
    for (const each of before) contents.push(format.encode(password, each.content));
    await writeEach(before.map((each, index) => ({ ...each, wanted: contents[index] ?? new Uint8Array() })));
    return current && format.decode(current);
  } finally {
    for (const bytes of [...contents, ...before.map((each) => each.content)]) bytes?.fill(0);
  }
}

/** The password in a file; `undefined` where there is none, or an empty one, which proves nothing. */
export function readPassword(file: OwnerFile, format: PasswordFormat): Uint8Array | undefined {
  const content = file.read();
  const stored = content && format.decode(content);
  content?.fill(0);
  return stored?.some((byte) => byte !== 0) ? stored : undefined;
}

type Write = Readonly<{ file: OwnerFile; content: Buffer | undefined; wanted: Uint8Array }>;

async function writeEach(writes: readonly Write[]): Promise<void> {
  const touched: Write[] = [];
  try {
    for (const each of writes) {
      touched.push(each);
      await each.file.replace(each.wanted);
      if (!each.file.read()?.equals(each.wanted)) throw new Failure('VNC_FAILED', { reason: 'read_back' });
    }
  } catch (error) {
    // Every file is put back even where another cannot be; the first trouble is the one to tell.
    for (const { file, content: old } of touched) await (old ? file.replace(old) : file.remove()).catch(() => {});
    throw error;
  }
}

function assertOfFormat(content: Uint8Array | undefined, { bytesMax }: PasswordFormat): void {
  if ((content?.length ?? 0) > bytesMax) throw new Failure('VNC_FAILED', { reason: 'not_a_password_file' });
}

function assertDiffers(current: Uint8Array | undefined, password: Uint8Array, format: PasswordFormat): void {
  const [stored, wanted] = [current && format.decode(current), format.effective(password)];
  const same = stored !== undefined && Buffer.from(stored).equals(wanted);
  stored?.fill(0);
  wanted.fill(0);
  if (same) throw new Failure('VNC_FAILED', { reason: 'unchanged' });
}
