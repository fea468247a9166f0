// Reads which modules of PAM the password program and signing in go through (pam.d(5)), and whether they are there. Looks at
// files alone; never loads a module and never asks PAM anything.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PamFacts } from '../ports/inspection.ts';

/** In the order in which Linux-PAM looks for a service. */
const RULE_FOLDERS = ['etc/pam.d', 'usr/lib/pam.d', 'usr/share/pam.d'];
/** Where distributions keep modules: by architecture, by word size, or in one place. */
const MODULE_FOLDERS = [
  'usr/lib/*/security',
  'lib/*/security',
  'usr/lib64/security',
  'lib64/security',
  'usr/lib/security',
  'lib/security',
];
const INCLUDES_MAX = 16;

/** Whether the stack fails without the module; a `quiet` one may be missing. */
type Rule = Readonly<{ demanded: boolean; module: string; quiet: boolean }>;

/** `null` where the system has no rules of PAM at all. `root`: the tree to look at; `/` but for tests. */
export function readPam(service: string, root = '/'): PamFacts | null {
  const read = readerOf(root);
  if (read === null) return null;
  // A service without a rule for passwords goes by those of `other`.
  for (const name of [service, 'other']) {
    const rules = rulesOf('password', name, read);
    if (rules.length > 0) return { service: name, ...judged(rules, root) };
  }
  return { service: null, denies: false, missing: [], unclear: false };
}

function judged(rules: readonly Rule[], root: string): Omit<PamFacts, 'service'> {
  const folders = MODULE_FOLDERS.flatMap((pattern) => globSync(join(root, pattern)));
  const isThere = ({ module }: Rule) =>
    module.startsWith('/')
      ? existsSync(join(root, module))
      : folders.some((folder) => existsSync(join(folder, module)));
  const unclear = !rules.some(isThere);
  const absent = unclear ? [] : rules.filter((rule) => rule.demanded && !rule.quiet && !isThere(rule));
  return {
    denies: /(^|\/)pam_deny\.so$/.test(rules[0]?.module ?? ''),
    missing: [...new Set(absent.map(({ module }) => module))],
    unclear,
  };
}

/** Whether signing in at the service compares with the machine's own hashes; `null` for a service without a file. */
export function asksForLocalPassword(service: string, root = '/'): boolean | null {
  const read = readerOf(root);
  if (read === null || read(service) === undefined) return null;
  return rulesOf('auth', service, read).some(({ module }) => /(^|\/)pam_(unix|unix2|unix_auth|tcb)\.so$/.test(module));
}

type Reader = (name: string) => string | undefined;

/** The text of a service's file; `null` where the system has no rules of PAM at all. */
function readerOf(root: string): Reader | null {
  const folders = RULE_FOLDERS.map((folder) => join(root, folder)).filter((folder) => existsSync(folder));
  if (folders.length === 0) return null;
  return (name) => {
    const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
    return path === undefined ? undefined : readFileSync(path, 'utf8');
  };
}

/** The rules of one kind of one service, those that it includes in their places. */
function rulesOf(kind: 'password' | 'auth', service: string, read: Reader, depth = 0): readonly Rule[] {
  const text = depth > INCLUDES_MAX ? undefined : read(service);
  return rulesIn(text ?? '').flatMap((words) => {
    const [type = '', control = '', module = ''] = words;
    if (type === '@include') return rulesOf(kind, control, read, depth + 1);
    if (type.replace(/^-/, '').toLowerCase() !== kind) return [];
    if (['include', 'substack'].includes(control)) return rulesOf(kind, module, read, depth + 1);
    return [
      { demanded: isDemanded(control) || /(^|\/)pam_unix\.so$/.test(module), module, quiet: type.startsWith('-') },
    ];
  });
}

/** Lines as words. A control of several words stands in brackets, and a backslash carries a line on. */
function rulesIn(text: string): readonly (readonly string[])[] {
  return text
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').match(/\[[^\]]*\]|\S+/g) ?? [])
    .filter((words) => words.length > 1);
}

/** `[success=1 default=ignore]` ignores a module that is missing, and so do these two words. */
function isDemanded(control: string): boolean {
  if (!control.startsWith('[')) return !['optional', 'sufficient'].includes(control);
  return !/\bdefault=(ignore|[0-9]+)\b/.test(control);
}
