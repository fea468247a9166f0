// The talk with passwd(1), as bytes in and acts out.

import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  answerDialogue,
  atUnknownPrompt,
  type DialogueAct,
  dialogueStart,
  hearDialogue,
  type PasswdReason,
  refusalReason,
  TAIL_BYTES_MAX,
} from '../../../agent/adapters/passwd-dialogue.ts';
import { reasonWords } from '../../../protocol/reasons.ts';

const secret = Buffer.from(`s${randomBytes(9).toString('base64url')}1`);

/** Feeds chunks; each `answer` is given at once. */
function acts(...chunks: (string | Buffer)[]): DialogueAct[] {
  let dialogue = dialogueStart;
  return chunks.map((chunk) => {
    const next = hearDialogue(dialogue, Buffer.from(chunk), secret);
    dialogue = next.act === 'answer' ? answerDialogue(next.dialogue) : next.dialogue;
    return next.act;
  });
}

const TALKS: Readonly<Record<string, readonly [string, string]>> = {
  pam_unix: ['New password: ', '\r\nRetype new password: '],
  'pam_unix of old': ['Enter new UNIX password: ', '\r\nRetype new UNIX password: '],
  'shadow without PAM': [
    'Changing password for root\r\nEnter the new password (minimum of 5)\r\nNew password: ',
    '\r\nRe-enter new password: ',
  ],
  busybox: ['Changing password for root\nNew password: ', '\nRetype password: '],
};

describe('the talk with the password program', () => {
  for (const [name, [first, second]] of Object.entries(TALKS)) {
    it(`both prompts are answered, and no more: ${name}`, () => {
      expect(acts(first, second, '\r\npasswd: password updated successfully\r\n')).toEqual([
        'answer',
        'answer',
        'wait',
      ]);
    });
    it(`a prompt is known wherever it is cut in two: ${name}`, () => {
      for (let at = 1; at < first.trimEnd().length; at += 1) {
        expect(acts(first.slice(0, at), first.slice(at), second).filter((act) => act === 'answer')).toHaveLength(2);
      }
    });
  }

  it('nothing is answered before the prompt has come to its end', () => {
    expect(acts('New pass', 'word', ' of yours is', ' needed')).toEqual(['wait', 'wait', 'wait', 'wait']);
  });
  it('a prompt in the middle of a line or on an earlier line is not one', () => {
    expect(acts('New password: is what comes next\r\n')).toEqual(['wait']);
    expect(acts('New password: \r\nWorking...')).toEqual(['wait']);
  });
  for (const prompt of ['Current password: ', '(current) UNIX password: ', 'Old password: ', 'Enter old password: ']) {
    it(`the current password is never given: ${prompt}`, () => {
      expect(acts(prompt)).toEqual([{ stop: 'asks_current' }]);
    });
  }
  it('the second prompt without the first is not answered', () => {
    expect(acts('Retype new password: ')).toEqual([{ stop: 'unknown' }]);
  });
  it('a program that asks again has refused', () => {
    const again = 'BAD PASSWORD: The password is shorter than 9 characters\r\nNew password: ';
    expect(acts('New password: ', `\r\n${again}`)).toEqual(['answer', { stop: 'policy' }]);
    expect(acts('New password: ', '\r\nRetype new password: ', '\r\nRetype new password: ')).toEqual([
      'answer',
      'answer',
      { stop: 'unknown' },
    ]);
  });
  it('a secret in the output ends the talk, wherever it is cut in two', () => {
    for (let at = 1; at < secret.length; at += 1) {
      const heard = acts('New password: ', secret.subarray(0, at), secret.subarray(at));
      expect(heard.at(-1)).toEqual({ stop: 'echoed' });
    }
  });
  it('a secret before a prompt is not answered with the secret', () => {
    expect(acts(Buffer.concat([secret, Buffer.from('\nNew password: ')]))).toEqual([{ stop: 'echoed' }]);
  });
  it('words that are no prompt known here are told from silence', () => {
    const heard = (text: string) => atUnknownPrompt(hearDialogue(dialogueStart, Buffer.from(text), secret).dialogue);
    for (const text of ['Neues Passwort: ', 'Really (y/n)?', 'Working\r\nMot de passe : '])
      expect(heard(text)).toBe(true);
    for (const text of ['', 'Working\r\n', 'Working\r\n  ']) expect(heard(text)).toBe(false);
    const answered = answerDialogue(hearDialogue(dialogueStart, Buffer.from('New password: '), secret).dialogue);
    expect(atUnknownPrompt(answered)).toBe(false);
  });
  it('no more of the output is kept than its end', () => {
    let dialogue = dialogueStart;
    for (let n = 0; n < 10; n += 1) dialogue = hearDialogue(dialogue, Buffer.alloc(3_000, 'x'), secret).dialogue;
    expect(dialogue.tail).toHaveLength(TAIL_BYTES_MAX);
  });
});

describe('the program’s words become a reason', () => {
  it.each([
    ['passwd: Authentication token lock busy', 'lock_unusable'],
    ['passwd: Module is unknown\r\npasswd: password unchanged', 'pam'],
    ['passwd: pam_start() failed, error 26', 'pam'],
    ['passwd: Cannot lock /etc/passwd; try again later.', 'lock_unusable'],
    ['Password has been already used. Choose another.', 'history'],
    ['BAD PASSWORD: The password fails the dictionary check', 'policy'],
    ['You must choose a longer password: too short', 'policy'],
    ['passwd: Permission denied.', 'permission'],
    ["passwd: user 'ada' does not exist", 'no_account'],
    ['passwd: applet not found', 'missing'],
    ['passwd: SELinux denying access due to security policy.', 'permission'],
    ['passwd: root is not authorized to change the password of ada', 'permission'],
    ['passwd: Have exhausted maximum number of retries for service\r\nBAD PASSWORD: too short', 'policy'],
    ['passwd: Authentication token manipulation error', 'token'],
    ['something else', 'unknown'],
  ])('%s', (words, reason) => expect(refusalReason(words)).toBe(reason));
});

describe('words of reason', () => {
  it('each that this program can give is known to those who show it', () => {
    const given: Record<PasswdReason | 'full' | 'readonly', true> = {
      ...{ echoed: true, asks_current: true, policy: true, history: true, missing: true, no_account: true },
      ...{
        permission: true,
        token: true,
        lock: true,
        lock_unusable: true,
        pam: true,
        not_asked: true,
        timeout: true,
        unknown: true,
      },
      ...{ no_terminal: true, full: true, readonly: true },
    };
    for (const word of Object.keys(given)) expect(reasonWords).toContain(word);
  });
});
