// Exchanges with programs of Windows, as written down in test/fixtures/windows with where each comes from. Nothing here
// was recorded on a Windows of this project's own.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What a terminal shows, piece by piece: `typed` stands for the secret and Enter, `typed back` for its being shown. */
export type TerminalExchange = Readonly<{ source: string; shows: readonly string[]; status: number | 'hangs' }>;
/** What a program on pipes ends with. */
export type PipeExchange = Readonly<{ source: string; status: number | 'hangs'; output?: string }>;

type File<E> = Readonly<{ about: string; exchanges: Readonly<Record<string, E>> }>;

function read<T>(name: string): T {
  return JSON.parse(
    readFileSync(fileURLToPath(new URL(`../../fixtures/windows/${name}`, import.meta.url)), 'utf8'),
  ) as T;
}

export const netUserFile = read<File<TerminalExchange> & { terminal: { opening: string; source: string } }>(
  'net-user.json',
);

export function netUserExchange(name: string): TerminalExchange {
  const found = netUserFile.exchanges[name];
  if (found === undefined) throw new Error(`no exchange ${name}`);
  return found;
}

export const shutdownFile = read<File<PipeExchange>>('shutdown.json');
/** `fault`: the reason for which such a machine is refused. */
export const environmentFile =
  read<File<Readonly<{ source: string; answer: Readonly<Record<string, unknown>>; fault?: string }>>>(
    'environment.json',
  );
export const hostFile = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/windows/host.json', import.meta.url)), 'utf8'),
) as Readonly<{
  machines: Readonly<Record<string, Readonly<{ source: string; answer: Readonly<Record<string, unknown>> }>>>;
  /** `closed` and `unwritable`: why such a folder does not meet that demand; absent where it does. */
  access: Readonly<
    Record<
      string,
      Readonly<{
        source: string;
        answer: Readonly<{ there: boolean; leads: boolean; descriptor: string | null }>;
        closed?: string;
        unwritable?: string;
      }>
    >
  >;
}>;
