// What to do next in a talk with passwd(1), from the bytes it has printed so far. Pure; never keeps more of the output
// than it needs to recognise a prompt, and never returns any of it.

/** Why `passwd` did not do it. The words themselves go no further: they can quote what was typed. */
export type PasswdReason =
  | 'echoed'
  | 'asks_current'
  | 'policy'
  | 'history'
  | 'missing'
  | 'no_account'
  | 'permission'
  | 'token'
  /** Somebody holds the lock of the account database. */
  | 'lock'
  /** The program cannot take that lock. */
  | 'lock_unusable'
  /** PAM itself does not work: no rules, or a module that cannot be loaded. */
  | 'pam'
  /** It ended well and never asked for the secret. */
  | 'not_asked'
  | 'timeout'
  | 'no_terminal'
  | 'unknown';

export type Dialogue = Readonly<{
  /** How many of the two prompts were answered. */
  answered: number;
  /** The last bytes of the output. */
  tail: Buffer;
}>;

export type DialogueAct = 'wait' | 'answer' | Readonly<{ stop: PasswdReason }>;

/** Enough for a refusal of several lines, and for a secret that arrives in pieces. */
export const TAIL_BYTES_MAX = 4_096;
const PROMPTS_MAX = 2;

const CURRENT_PROMPT = /(?:\(current\)|current|old)\b[^\n]*password: ?$/i;
const NEW_PROMPT = /new (?:\S+ )?password: ?$/i;
const RETYPE_PROMPT = /(?:re-?type|re-?enter|repeat|confirm)\b[^\n]*password: ?$/i;

export const dialogueStart: Dialogue = { answered: 0, tail: Buffer.alloc(0) };

/**
 * Takes one more chunk. `answer` says that the program now waits for the secret; the caller then says so with
 * `answerDialogue`. A second first prompt means that the program did not like what it was given.
 */
export function hearDialogue(
  dialogue: Dialogue,
  chunk: Uint8Array,
  secret: Uint8Array,
): { dialogue: Dialogue; act: DialogueAct } {
  const heard = Buffer.concat([dialogue.tail, chunk]);
  const next = { ...dialogue, tail: heard.subarray(Math.max(0, heard.length - TAIL_BYTES_MAX)) };
  return { dialogue: next, act: heard.includes(secret) ? { stop: 'echoed' } : nextAct(next) };
}

function nextAct({ answered, tail }: Dialogue): DialogueAct {
  const words = tail.toString('latin1');
  const lastLine = words.slice(Math.max(words.lastIndexOf('\n'), words.lastIndexOf('\r')) + 1);
  // "Retype new password:" holds "new password:" too, and "Current password:" comes before anything is answered.
  if (RETYPE_PROMPT.test(lastLine)) return answered === 1 ? 'answer' : { stop: refusalReason(words) };
  if (CURRENT_PROMPT.test(lastLine)) return { stop: 'asks_current' };
  if (NEW_PROMPT.test(lastLine)) return answered === 0 ? 'answer' : { stop: refusalReason(words) };
  return 'wait';
}

/** Whether the program stands at words that are no prompt known here: it asks in another language, or something else. */
export function atUnknownPrompt({ tail }: Dialogue): boolean {
  return /\S[^\r\n]*$/.test(tail.toString('latin1'));
}

/** After the secret was written: the prompt that was answered must not be taken for the next one. */
export function answerDialogue(dialogue: Dialogue): Dialogue {
  return { answered: Math.min(dialogue.answered + 1, PROMPTS_MAX), tail: Buffer.from(`${dialogue.tail}\n`) };
}

/** The reason in the program's own words (LC_ALL=C), for a program that ended without success or asked again. */
export function refusalReason(words: string): PasswdReason {
  // A busybox that was built without the password program says so, and the terminal of one that cannot be executed.
  if (/applet not found|execvp\(3\) failed\.: (?!permission)/i.test(words)) return 'missing';
  if (/lock busy|cannot lock|lock password file|try again later/i.test(words)) return 'lock_unusable';
  if (/already (?:been )?used|previously used|remember|reused/i.test(words)) return 'history';
  if (
    /permission denied|may not (?:be changed|view)|not permitted|not authorized|denying access|root privileg/i.test(
      words,
    )
  )
    return 'permission';
  if (/unknown user|does not exist|no such user|user not known/i.test(words)) return 'no_account';
  if (/bad password|weak password|too short|too simple|too similar|dictionary|palindrome|case changes/i.test(words))
    return 'policy';
  if (/module is unknown|pam_start\(\) failed|critical error/i.test(words)) return 'pam';
  if (/token manipulation|authentication token|information cannot be recovered/i.test(words)) return 'token';
  return 'unknown';
}
