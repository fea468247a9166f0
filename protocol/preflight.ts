// The answer to "can this machine be reset now?": one row for each thing that a reset needs, signed by the executor that
// looked. Nothing is changed by looking, and nothing decides by the answer.

import * as z from 'zod/mini';
import { type Code, codes } from './codes.ts';
import { agentId, bootId, bytes32, codeName, counter, parseSchema, seconds, text } from './schema.ts';

/** What is looked at, in the order in which people read it, and what it is called. */
export const checkTitles = {
  platform: 'operating system',
  identity: 'identity',
  configuration: 'agent.json',
  trust: 'trust root',
  clock: 'clock',
  control_plane: 'control plane',
  link: 'link to the control plane',
  executor: 'executor',
  operation: 'operation under way',
  journal: 'journal',
  environment: 'boot environment',
  account: 'account',
  database: 'account database',
  password_program: 'password program',
  checker: 'password checker',
  terminal: 'pseudo-terminal',
  pam: 'PAM',
  disk: 'disk',
  vnc: 'VNC',
  power: 'reboot',
  sandbox: 'restrictions of the service',
} as const;
export type CheckName = keyof typeof checkTitles;
export const checkNames = Object.keys(checkTitles) as readonly CheckName[];

/** `refused`: a reset that asks for this would be refused, or would fail. `unknown`: it could not be told. */
export const verdicts = ['ok', 'warning', 'refused', 'unknown'] as const;
export type Verdict = (typeof verdicts)[number];

const checkName = text(/^[a-z_]{1,24}$/);

/** A reader shows a name that it does not know as it is. */
export const check = z.strictObject({
  name: checkName,
  verdict: z.enum(verdicts),
  /** Why it is not ok; beside `ok`, what it means. */
  code: z.optional(codeName),
  /** A short word beside the code, as in a receipt. */
  reason: z.optional(text(/^[A-Za-z0-9_.:-]{1,64}$/)),
  /** What was looked at: a folder, a server, a version. Never a secret. */
  about: z.optional(text(/^[\x20-\x7e]{1,64}$/)),
});
export type WireCheck = z.infer<typeof check>;
export type Check = Omit<WireCheck, 'name' | 'code'> & { name: CheckName; code?: Code };

/** `lk-preflight+jws`, signed by `ek`. */
export const preflight = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  /** Both from the question: so an answer cannot be an older one, and what was judged by time is known. */
  nonce: bytes32,
  now: seconds,
  boot: bootId,
  /** The guest's own clock. Told, and nothing decides by it. */
  wall: seconds,
  checks: z.array(check).check(z.maxLength(64)),
  /** Rows for which there was no room; never a refused one before another. */
  left_out: counter,
});
export type Preflight = z.infer<typeof preflight>;

export function readPreflight(payload: unknown): Preflight {
  return parseSchema(preflight, payload);
}

/** Most bytes of JSON that a payload may have, so that its token is no larger than a receipt's. */
export const PREFLIGHT_PAYLOAD_BYTES_MAX = 2_880;

/** Whether a reset would be refused, or fail, for what was found. VNC is of no matter to a reset that leaves it alone. */
export function canReset(checks: readonly Pick<WireCheck, 'name' | 'verdict'>[]): { account: boolean; vnc: boolean } {
  const refused = checks.filter(({ verdict }) => verdict === 'refused').map(({ name }) => name);
  return { account: refused.every((name) => name === 'vnc'), vnc: refused.length === 0 };
}

/** One row in words: what it is called, what it is about, and why it is not ok. */
export function checkText({ name, code, reason, about }: WireCheck): { title: string; sentence: string; hint: string } {
  const title = Object.hasOwn(checkTitles, name) ? checkTitles[name as CheckName] : name;
  const known = code !== undefined && Object.hasOwn(codes, code) ? codes[code as Code] : undefined;
  const word = reason === undefined ? '' : ` (${reason})`;
  return {
    title: about === undefined ? title : `${title}: ${about}`,
    sentence: known === undefined ? `${code ?? ''}${word}` : `${known.sentence.replace(/\.$/, '')}${word}.`,
    hint: known?.hint ?? '',
  };
}
