// Where the lab keeps its things on this machine, and its native program: compiled at first use, kept by the hash of its
// source. It must never write into the repository or into node_modules, nor trust a folder that somebody else made.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

const SOURCE = import.meta.dirname;
const FLAGS = ['-std=gnu17', '-O1', '-Wall', '-Wextra', '-Wno-format-truncation'];

/** The folder of this user's guests. It is created on demand, private, and refused when it is not ours. */
export function labFolder(): string {
  const { uid } = userInfo();
  const folder = join(realpathSync(tmpdir()), `latchkey-lab-${uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const facts = lstatSync(folder);
  if (!facts.isDirectory() || facts.uid !== uid) throw new Error(`${folder} is not a folder of user ${uid}`);
  chmodSync(folder, 0o700);
  return folder;
}

/** The path of the compiled program. Two processes may compile at once: the last rename wins, with the same bytes. */
export function nativeProgram(): string {
  const sources = readdirSync(SOURCE).filter((name) => /\.[ch]$/.test(name));
  const hash = createHash('sha256').update(JSON.stringify([FLAGS, process.arch]));
  for (const name of sources.toSorted()) hash.update(`\0${name}\0`).update(readFileSync(join(SOURCE, name)));
  const folder = join(labFolder(), '.native', hash.digest('hex').slice(0, 32));
  const program = join(folder, 'lab');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const fresh = join(folder, `lab.${process.pid}.${process.hrtime.bigint()}`);
  const units = sources.filter((name) => name.endsWith('.c')).map((name) => join(SOURCE, name));
  execFileSync('cc', [...FLAGS, '-o', fresh, ...units], { stdio: ['ignore', 'inherit', 'inherit'] });
  chmodSync(fresh, 0o755);
  renameSync(fresh, program);
  return program;
}
