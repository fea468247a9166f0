// `npm run bundle`: the agent as seven files that need nothing but Node beside them. `main.js` is the command line; the link,
// the executor and the others are complete each in a file of their own, so nothing of one is resident in another. The
// same sources and packages make the same bytes, wherever and whenever.

import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';

const PROJECT = join(import.meta.dirname, '../..');
const MANIFEST = join(PROJECT, 'package.json');
const DESTINATION = join(PROJECT, 'dist/agent');

/** The compiled part of `node-pty`; it lies beside the bundle. */
const PTY = 'pty.node';

/**
 * Two files of packages that look for things where only an installed package has them.
 *
 * `node-pty` tries several folders for its compiled part. `pino` can hand its lines to a worker thread, which is started
 * from a file of its own; the agent never does, and without it a megabyte less is resident.
 */
const replacements: Readonly<Record<string, string>> = {
  'node-pty/lib/utils.js': `
    exports.assign = Object.assign;
    const load = require;
    exports.loadNativeModule = (name) => ({ dir: '.', module: load('./' + name + '.node') });`,
  'pino/lib/transport.js': `
    module.exports = () => { throw new Error('the agent writes its own log'); };`,
};

/** The files, and what each is made from. */
const parts = {
  main: 'agent/main.ts',
  link: 'agent/link/main.ts',
  executor: 'agent/executor/main.ts',
  enrolment: 'agent/enrolment/main.ts',
  image: 'agent/image/main.ts',
  facts: 'agent/facts.ts',
  'write-as-owner': 'agent/adapters/write-as-owner.ts',
} as const;

/** What is imported only when it is needed stays a file of its own. */
const keepApart: Plugin = {
  name: 'keep-apart',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      const source = relative(PROJECT, join(resolveDir, path));
      const name = Object.entries(parts).find(([, entry]) => entry === source)?.[0];
      return kind === 'dynamic-import' && name !== undefined ? { path: `./${name}.js`, external: true } : null;
    });
  },
};

/** Fails the build where a package no longer has a file that is to be replaced. */
const replaceFiles: Plugin = {
  name: 'replace-files',
  setup({ onLoad, onEnd }) {
    const pending = new Set(Object.keys(replacements));
    onLoad({ filter: /node_modules\/(node-pty|pino)\/lib\// }, ({ path }) => {
      const name = Object.keys(replacements).find((candidate) => path.endsWith(`/node_modules/${candidate}`));
      if (name === undefined) return null;
      pending.delete(name);
      return { contents: replacements[name] ?? '', loader: 'js' };
    });
    // Of the project's own manifest the version alone.
    onLoad({ filter: /package\.json$/ }, ({ path }) => {
      if (path !== MANIFEST) return null;
      const { version } = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { version: string };
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
    onEnd(() => ({ errors: [...pending].map((name) => ({ text: `${name} was not met` })) }));
  },
};

/** Options that any program is bundled with to be comparable: the benchmark's bare client, too. */
export const bundleOptions = {
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'esm',
  minify: true,
  // Where a defect prints the line that it happened in, that line is not the whole program.
  lineLimit: 160,
  legalComments: 'none',
  define: { __dirname: 'import.meta.dirname', 'process.platform': JSON.stringify(process.platform) },
  // What CommonJS packages need to reach Node's own modules from an ECMAScript one.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
} as const;

/** Writes the bundle in place of what was in the folder, and says what went into which file. */
export async function bundleAgent(folder: string = DESTINATION): Promise<Metafile> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { metafile } = await build({
    ...bundleOptions,
    absWorkingDir: PROJECT,
    entryPoints: parts,
    outdir: folder,
    plugins: [keepApart, replaceFiles],
    metafile: true,
  });
  const pty = createRequire(import.meta.url).resolve('node-pty/package.json');
  copyFileSync(join(dirname(pty), 'build/Release', PTY), join(folder, PTY));
  // Node then need not look whether these files are CommonJS.
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ private: true, type: 'module' })}\n`);
  return metafile;
}

if (import.meta.main) {
  await bundleAgent();
  for (const file of globSync('*', { cwd: DESTINATION }).sort()) console.log(join('dist/agent', file));
}
