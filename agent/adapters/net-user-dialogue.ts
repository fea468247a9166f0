// What to do next in a talk with `net user NAME *`, from what the terminal has shown so far. Pure; knows the English words
// alone, and takes everything else for a reason to give nothing.

/** Why `net user` did not do it. The words themselves go no further. */
export type NetUserReason =
  | 'echoed'
  | 'policy'
  | 'history'
  | 'missing'
  | 'no_account'
  | 'permission'
  | 'other_authority'
  | 'unchanged'
  | 'timeout'
  | 'unknown';

export type NetUserTalk = Readonly<{
  /** How many of the two prompts were answered. */
  answered: number;
  /** All that was shown, or the end of it. */
  shown: Buffer;
}>;

export type NetUserAct = 'wait' | 'answer' | Readonly<{ stop: NetUserReason }>;

const SHOWN_BYTES_MAX = 16_384;
const PROMPTS = [/Type a password for the user: ?$/, /Retype the password to confirm: ?$/] as const;

export const netUserTalk: NetUserTalk = { answered: 0, shown: Buffer.alloc(0) };

/** Takes one more piece. `answer` says that it stands at a prompt now; `answered` is called once the secret was typed. */
export function hearNetUser(
  talk: NetUserTalk,
  piece: Uint8Array,
  secret: Uint8Array,
): Readonly<{ talk: NetUserTalk; act: NetUserAct }> {
  const shown = Buffer.concat([talk.shown, piece]);
  const next = { ...talk, shown: shown.subarray(Math.max(0, shown.length - SHOWN_BYTES_MAX)) };
  return { talk: next, act: nextAct(next, secret) };
}

function nextAct({ answered, shown }: NetUserTalk, secret: Uint8Array): NetUserAct {
  const words = plainText(shown);
  // A terminal may draw its signs one by one, with its own between them.
  if (shown.includes(secret) || words.replace(/\s/g, '').includes(Buffer.from(secret).toString('latin1')))
    return { stop: 'echoed' };
  const line = words.slice(words.lastIndexOf('\n') + 1);
  const asked = PROMPTS.findIndex((prompt) => prompt.test(line));
  if (asked < 0) return 'wait';
  // The first prompt again, or the second before the first: not the program that is known here.
  return asked === answered ? 'answer' : { stop: 'unknown' };
}

/** After the secret was typed: the prompt that was answered must not be taken for the next one. */
export function answered({ answered: before, shown }: NetUserTalk): NetUserTalk {
  return { answered: before + 1, shown: Buffer.concat([shown, Buffer.from('\n')]) };
}

/** Whether it stands at words that are no prompt known here: in another language, or something else. */
export function atUnknownWords({ shown }: NetUserTalk): boolean {
  return /\S[^\n]*$/.test(plainText(shown));
}

/**
 * What is left for a reader: control sequences (ECMA-48) and window titles go, and moving to another line is a new line. An
 * unfinished sequence at the end is left out.
 */
function plainText(shown: Uint8Array): string {
  return Buffer.from(shown)
    .toString('latin1')
    .replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)/g, '')
    .replace(/\x1b\[[0-9;]*[Hf]/g, '\n')
    .replace(/\x1b\[[0-?]*[ -/]*(?:[@-~]|$)/g, '')
    .replace(/\x1b[ -/]*(?:[0-Z\\^-~]|$)/g, '')
    .replace(/\r/g, '')
    .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
}

/** By the numbers of lmerr.h and winerror.h, which the program names in every language. */
const REASONS: Readonly<Record<string, NetUserReason>> = {
  '5': 'permission',
  '86': 'policy',
  '1325': 'policy',
  '2202': 'no_account',
  '2221': 'no_account',
  '2242': 'policy',
  '2243': 'permission',
  '2244': 'history',
  '2245': 'policy',
  '2246': 'policy',
  '8646': 'other_authority',
};

/** The reason for a program that ended without success. */
export function netUserReason(shown: Uint8Array): NetUserReason {
  const words = plainText(shown);
  const number = /\bNET HELPMSG ([0-9]{1,5})\b/.exec(words)?.[1] ?? /\berror ([0-9]{1,5})\b/i.exec(words)?.[1] ?? '';
  return Object.hasOwn(REASONS, number) ? (REASONS[number] ?? 'unknown') : 'unknown';
}
