// What sshd_config(5) says about signing in with a password, read by sshd's own rules: the first value of a keyword wins, an
// Include stands where it is written, a Match holds to the end of its file. sshd itself is never run; whatever depends on
// who connects from where is called dependent and not guessed.

import type { AccountObstacle } from '../ports/accounts.ts';

export type SshdFiles = Readonly<{
  /** The text of a file; `null` where there is none to read. */
  read(path: string): string | null;
  /** Paths that a pattern of an Include names, in the order in which sshd reads them. */
  glob(pattern: string): readonly string[];
}>;

export type SshdSettings = Readonly<{
  /** The first value of each keyword outside of all Match blocks, in small letters. */
  values: ReadonlyMap<string, string>;
  /** Keywords that some Match block sets as well. */
  conditional: ReadonlySet<string>;
}>;

/** As deep as sshd follows Includes (SERVCONF_MAX_DEPTH). */
const DEPTH_MAX = 16;
/** Far more than people write: a folder of many files must not keep an operation waiting. */
const FILES_MAX = 100;

const PASSWORD = 'passwordauthentication';
const INTERACTIVE = 'kbdinteractiveauthentication';
const PAM = 'usepam';
const ROOT = 'permitrootlogin';
const METHODS = 'authenticationmethods';
const LISTS = ['allowusers', 'denyusers', 'allowgroups', 'denygroups'];
const ALIASES: Readonly<Record<string, string>> = {
  challengeresponseauthentication: INTERACTIVE,
  skeyauthentication: INTERACTIVE,
};

/** Reads the configuration at `path`; `null` where there is none. */
export function readSshdConfig(files: SshdFiles, path: string): SshdSettings | null {
  const values = new Map<string, string>();
  const conditional = new Set<string>();
  let read = 0;

  const readFile = (file: string, depth: number, outerMatch: boolean): boolean => {
    read += 1;
    const text = depth > DEPTH_MAX || read > FILES_MAX ? null : files.read(file);
    let inMatch = outerMatch;
    for (const line of text?.split('\n') ?? []) {
      const [keyword, ...args] = wordsOf(line);
      // Also `Match all`: its values come over the global ones once someone connects.
      if (keyword === 'match') inMatch = true;
      else if (keyword === 'include') {
        for (const pattern of args) {
          for (const included of files.glob(absolute(pattern, path))) readFile(included, depth + 1, inMatch);
        }
      } else if (keyword !== undefined && inMatch) conditional.add(keyword);
      else if (keyword !== undefined && !values.has(keyword)) values.set(keyword, args.join(' ').toLowerCase());
    }
    return text !== null;
  };
  return readFile(path, 0, false) ? { values, conditional } : null;
}

/** What of these settings keeps an account with a good password out. */
export function sshObstacles({ values, conditional }: SshdSettings, uid: number): readonly AccountObstacle[] {
  const obstacles: AccountObstacle[] = [];
  // Through PAM a password is taken as keyboard-interactive, too (sshd_config(5), UsePAM).
  const interactive = values.get(INTERACTIVE) !== 'no' && values.get(PAM) === 'yes';
  if (values.get(PASSWORD) === 'no' && !interactive) obstacles.push('SSH_PASSWORD_OFF');
  // The default is `prohibit-password`.
  if (uid === 0 && values.get(ROOT) !== 'yes') obstacles.push('SSH_ROOT_PASSWORD_OFF');
  const decisive = [PASSWORD, INTERACTIVE, PAM, METHODS, ...LISTS, ...(uid === 0 ? [ROOT] : [])];
  if (decisive.some((keyword) => conditional.has(keyword))) return ['SSH_DEPENDS'];
  const depends = LISTS.some((keyword) => values.has(keyword)) || !passwordAlone(values.get(METHODS) ?? 'any');
  return obstacles.length === 0 && depends ? ['SSH_DEPENDS'] : obstacles;
}

/** Whether one of the lists of methods is satisfied by a password and nothing else. */
function passwordAlone(methods: string): boolean {
  return methods.split(/\s+/).some((list) => /^(?:any|password|keyboard-interactive(?::[^,]*)?)$/.test(list));
}

/** Keyword in small letters and its arguments: blanks or one `=` between them, quotes around an argument, `#` to the end. */
function wordsOf(line: string): string[] {
  const [, keyword = '', rest = ''] = /^\s*"?([A-Za-z0-9]+)"?(?:\s*=\s*|\s+|$)(.*)$/.exec(line) ?? [];
  if (keyword === '') return [];
  const args: string[] = [];
  for (const [word, double, single] of rest.matchAll(/"([^"]*)"|'([^']*)'|\S+/g)) {
    if (word.startsWith('#')) break;
    args.push(double ?? single ?? word);
  }
  const name = keyword.toLowerCase();
  return [ALIASES[name] ?? name, ...args];
}

function absolute(pattern: string, main: string): string {
  return pattern.startsWith('/') ? pattern : `${main.slice(0, main.lastIndexOf('/'))}/${pattern}`;
}
