// An image in a folder, with an agent in it that was enrolled and at work. The values are no real keys.

import { globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { paths } from '../../../agent/paths.ts';

const UUID = '00000000-0000-4000-8000-000000000001';

/** Each file of an agent that makes it the one of its machine, by the name under which it is reported. */
export const OWN_FILES: Readonly<Record<string, readonly string[]>> = {
  executor_key: [
    `${paths.executor}/keys.json`,
    `${paths.executor}/keys.json.${UUID}`,
    `${paths.executor}.other-machine/keys.json`,
  ],
  link_key: [`${paths.link}/key.json`, `${paths.link}/key.json.${UUID}`, `${paths.link}.other-machine/key.json`],
  other_machine: [`${paths.executor}.other-machine/journal.jsonl`, `${paths.link}.other-machine/identity.json`],
  identity: [`${paths.executor}/identity.json`, `${paths.link}/identity.json`],
  operation_journal: [`${paths.executor}/journal.jsonl`, `${paths.executor}/writer.7`, `${paths.executor}/cancel`],
  learned_roots: [`${paths.executorRoots}/2.json`, `${paths.linkRoots}/2.json`, `${paths.linkRoots}/3.json`],
  control_plane_session: [`${paths.link}/progress.json`],
  notes: [paths.linkNote, paths.enrolmentNote],
  state: [`${paths.state}/unknown`, `${paths.link}/deep/down/unknown`],
  join_token: [paths.joinToken, `${paths.joinToken}.${UUID}`, '/run/latchkey-seed/join-token'],
  root_marker: [paths.marker, `${paths.marker}.${UUID}`],
};

/** What an image is meant to hold. */
export const KEPT_FILES = [paths.trust, paths.config, '/usr/lib/latchkey-agent/main.js', '/etc/passwd'];

export function makeImage(): string {
  const image = mkdtempSync(join(tmpdir(), 'latchkey-image-'));
  for (const path of [...Object.values(OWN_FILES).flat(), ...KEPT_FILES]) putIn(image, path, path);
  putIn(
    image,
    '/etc/passwd',
    'root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\nsys:x:2:2::/:/bin/false\n',
  );
  return image;
}

export function putIn(image: string, path: string, text: string): void {
  mkdirSync(join(image, dirname(path)), { recursive: true });
  writeFileSync(join(image, path), text);
}

/** Every file of the image with what is in it. */
export function contentOf(image: string): Record<string, string> {
  const files = globSync('**/*', { cwd: image, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((entry) => join(entry.parentPath, entry.name).slice(image.length)).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(image, name), 'utf8')]));
}
