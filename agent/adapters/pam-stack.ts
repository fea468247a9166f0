// Reads which modules of PAM the password program goes through (pam.d(5)), and whether they are there. Looks at files
// alone; never loads a module and never asks PAM anything.

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
  const folders = RULE_FOLDERS.map((folder) => join(root, folder)).filter((folder) => existsSync(folder));
  if (folders.length === 0) return null;
  const read = (name: string): string | undefined => {
    const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
    return path === undefined ? undefined : readFileSync(path, 'utf8');
  };
  // A service without a rule for passwords goes by those of `other`.
  for (const name of [service, 'other']) {
    const rules = passwordRules(name, read);
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

/** The rules for passwords of one service, those that it includes in their places. */
function passwordRules(service: string, read: (name: string) => string | undefined, depth = 0): readonly Rule[] {
  const text = depth > INCLUDES_MAX ? undefined : read(service);
  return rulesIn(text ?? '').flatMap((words) => {
    const [kind = '', control = '', module = ''] = words;
    if (kind === '@include') return passwordRules(control, read, depth + 1);
    if (kind.replace(/^-/, '').toLowerCase() !== 'password') return [];
    if (['include', 'substack'].includes(control)) return passwordRules(module, read, depth + 1);
    return [
      { demanded: isDemanded(control) || /(^|\/)pam_unix\.so$/.test(module), module, quiet: kind.startsWith('-') },
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
