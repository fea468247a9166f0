// Which file may import which: the arrows of the house, as one table, and the search for cycles.

import { posix } from 'node:path';
import { isTypeScript, type SourceFile } from './tree.ts';

/** `target` is a path in the project, or a package's name, or `node:…`. */
export type Import = Readonly<{ from: string; target: string; typeOnly: boolean }>;

// A line that begins or ends an import, or one inside an expression; words in comments and texts begin otherwise.
const STATEMENT =
  /^(?:import|export)\s+(type\s)?[^'"`;]*?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

export function importsOf(file: SourceFile): Import[] {
  return [...file.text.matchAll(STATEMENT)].map(([, typeOnly, from, bare, dynamic]) => {
    const target = from ?? bare ?? dynamic ?? '';
    const resolved = target.startsWith('.') ? posix.join(posix.dirname(file.path), target) : target;
    return { from: file.path, target: resolved, typeOnly: typeOnly !== undefined };
  });
}

export const packageOf = (target: string): string =>
  target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');

const isOurs = (target: string) => /^((protocol|agent|control-plane|test)\/|package\.json$)/.test(target);
const isMain = (path: string) => /(^|\/)main\.tsx?$/.test(path);
/** Makes the agent and is no part of it. */
const BUNDLER = 'agent/image/bundle.ts';
const PERMITTED_IN_AGENT = ['ws', 'jose', 'zod', 'pino', 'node-pty', 'systeminformation'];

/** Files of a kind (first match counts) and what they may import; `main` files are free within their own program. */
const arrows: readonly Readonly<{ from: RegExp; to: RegExp; why: string }>[] = [
  { from: /^protocol\//, to: /^(protocol\/|jose$|zod\/mini$)/, why: 'protocol imports itself, jose and zod/mini' },
  { from: /^agent\/core\//, to: /^(agent\/core|protocol)\//, why: 'core is pure' },
  { from: /^agent\/ports\//, to: /^(agent\/ports|protocol)\//, why: 'ports are types and their contract' },
  {
    from: /^agent\/adapters\//,
    to: /^((agent\/adapters|agent\/ports|protocol)\/|agent\/durable-file\.ts$|(?!agent\/|control-plane\/))/,
    why: 'adapters know ports and the protocol',
  },
  {
    from: /^agent\/link\//,
    to: /^((agent\/(link|core|ports)|protocol)\/|agent\/[^/]+$|(?!agent\/))/,
    why: 'link is a shell over core and ports, apart from the executor',
  },
  {
    from: /^agent\/executor\//,
    to: /^((agent\/(executor|core|ports)|protocol)\/|agent\/[^/]+$|(?!agent\/))/,
    why: 'the executor is a shell over core and ports, apart from the link',
  },
  { from: /^agent\//, to: /^(agent\/(?!adapters\/)|protocol\/|(?!agent\/))/, why: 'only a main names adapters' },
  { from: /^control-plane\/core\//, to: /^(control-plane\/core|protocol)\//, why: 'core is pure' },
];

/** Every import against an arrow, as `file → target: rule`. */
export function wrongImports(files: readonly SourceFile[]): string[] {
  return files
    .filter(isTypeScript)
    .flatMap(importsOf)
    .flatMap((found) => {
      const rule = brokenRule(found);
      return rule === undefined ? [] : [`${found.from} → ${found.target}: ${rule}`];
    });
}

function brokenRule({ from, target }: Import): string | undefined {
  const [program = ''] = from.split('/');
  if (program === 'test') return undefined;
  if (target.startsWith('test/')) return 'nothing imports a test';
  const other = { agent: 'control-plane/', 'control-plane': 'agent/' }[program];
  if (other !== undefined && target.startsWith(other)) return 'the two programs never import each other';
  if (isMain(target) && !isMain(from)) return 'nothing imports main';
  const outside = !isOurs(target) && !target.startsWith('node:');
  if (program === 'agent' && outside && from !== BUNDLER && !PERMITTED_IN_AGENT.includes(packageOf(target))) {
    return `the agent carries ${PERMITTED_IN_AGENT.join(', ')} alone`;
  }
  if (isMain(from)) return undefined;
  const arrow = arrows.find((candidate) => candidate.from.test(from));
  return arrow && !arrow.to.test(target) ? arrow.why : undefined;
}

/** Each cycle once, as the files along it. Types count: a cycle of types is one thing in two files as well. */
export function importCycles(files: readonly SourceFile[]): string[] {
  const targets = new Map<string, string[]>(
    files.filter(isTypeScript).map((file) => [file.path, importsOf(file).map(({ target }) => target)]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of targets.keys()) visit(path, []);
  return cycles;
}
