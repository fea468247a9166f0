// The project's own files as text, for the checks beside this file: everything but what is installed, built or left over.

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

/** A file by its path from the project's root, with `/` between its parts. */
export type SourceFile = Readonly<{ path: string; text: string }>;

const LEFT_OUT = new Set(['node_modules', '.git', 'dist', 'coverage', '.lab']);
const TEXT = /\.(ts|tsx|mts|js|mjs|c|h|json|md|txt|sql|html|css|sh|service|socket|conf|ya?ml)$|^\.?[^.]+$/;

export function readTree(): SourceFile[] {
  const files = readdirSync(ROOT, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && TEXT.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((path) => !path.split('/').some((part) => LEFT_OUT.has(part)));
  return files.sort().map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

export const isTypeScript = ({ path }: SourceFile): boolean => /\.tsx?$/.test(path);
export const isC = ({ path }: SourceFile): boolean => /\.[ch]$/.test(path);
