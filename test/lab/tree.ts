// Debian trees, of guests whose PID 1 is systemd and of the disks of virtual machines: built once by mmdebstrap from the
// Debian that this machine's apt is configured for, kept by the hash of the recipe, and only ever read. They must never be
// built into the repository.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { labFolder } from './native.ts';

/** Node needs the two libraries; everything else is what a small server with a VNC session has. */
const LAB_PACKAGES = [
  'systemd-sysv',
  'dbus',
  'libpam-systemd',
  'passwd',
  'login',
  'procps',
  'libatomic1',
  'libstdc++6',
  // Another wall clock for one unit: the kernel's own is everybody's.
  'libfaketime',
  'tigervnc-standalone-server',
  // Reads its password at its start: a restart by its unit is what puts a new one in force.
  'x11vnc',
];

/** The tree is thrown away with its guests: nothing in it is read by people, and a power cut may take it. */
const settingsFor = (packages: readonly string[]) => [
  '--variant=essential',
  `--include=${packages.join(',')}`,
  '--aptopt=APT::Install-Recommends "false"',
  '--dpkgopt=path-exclude=/usr/share/doc/*',
  '--dpkgopt=path-exclude=/usr/share/man/*',
  '--dpkgopt=path-exclude=/usr/share/locale/*',
  '--dpkgopt=force-unsafe-io',
  '--mode=root',
  '--quiet',
];

/** apt's own list files that lead to Debian's release of this machine; a repository of somebody else's is left alone. */
export function findDebian(): { suite: string; lists: string[] } | undefined {
  const suite = /^VERSION_CODENAME=(\w+)$/m.exec(readIfThere('/etc/os-release'))?.[1];
  const format = '$(ORIGIN)|$(RELEASE)|$(SOURCESENTRY)';
  const { stdout } = spawnSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
    encoding: 'utf8',
  });
  const entries = (stdout ?? '').split('\n').map((line) => line.split('|'));
  const debian = entries.filter(([origin]) => origin === 'Debian');
  if (suite === undefined || !debian.some(([, release]) => release === suite)) return undefined;
  return { suite, lists: [...new Set(debian.map(([, , entry = '']) => entry.replace(/:\d+$/, '')))] };
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/**
 * The folder of the tree with these packages; it is built where it is missing, with mmdebstrap's further `options`. Two
 * processes may build at once: the first to end wins.
 */
export function debianTree(
  { suite, lists }: { suite: string; lists: readonly string[] },
  packages: readonly string[] = LAB_PACKAGES,
  options: readonly string[] = [],
): string {
  const settings = [...settingsFor(packages), ...options];
  const recipe = JSON.stringify([suite, process.arch, settings]);
  const hash = createHash('sha256').update(recipe).digest('hex').slice(0, 32);
  const trees = join(labFolder(), '.trees');
  const tree = join(trees, hash);
  if (existsSync(tree)) return tree;
  mkdirSync(trees, { recursive: true, mode: 0o700 });
  removeUnfinished(trees);
  const fresh = `${tree}.${process.pid}`;
  try {
    execFileSync('mmdebstrap', [...settings, suite, fresh, ...lists], { stdio: ['ignore', 'ignore', 'pipe'] });
    if (!existsSync(tree)) renameSync(fresh, tree);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return tree;
}

/** What builders that were killed have left. */
function removeUnfinished(trees: string): void {
  for (const name of readdirSync(trees)) {
    const builder = name.split('.')[1];
    if (builder !== undefined && !existsSync(`/proc/${builder}`))
      rmSync(join(trees, name), { recursive: true, force: true });
  }
}
