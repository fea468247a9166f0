// Letters to operators over SMTP. The signer sends them itself, so that nothing else ever holds a code; what a letter says is
// never logged.

import { readFileSync } from 'node:fs';
import type { Transporter } from 'nodemailer';
import { Failure } from '../../protocol/failure.ts';
import type { MailOptions } from '../config/mail.ts';

/** Shorter than whoever asked the signer waits for an answer. */
const SEND_MS_MAX = 8_000;
const STEP_MS_MAX = 5_000;

export type Letter = Readonly<{ to: string; subject: string; text: string }>;
/** Throws `MAIL_UNAVAILABLE`. */
export type Mailer = Readonly<{ send(letter: Letter): Promise<void> }>;

/** `verify` greets the server and signs in, and sends nothing. */
export async function openMailer(options: MailOptions): Promise<Mailer & Readonly<{ verify(): Promise<void> }>> {
  const { createTransport } = await import('nodemailer');
  const { host, port, secure, plain, user, passwordFile, caFile, from } = options;
  const transport: Transporter = createTransport({
    host,
    port,
    secure,
    // Never in clear but on the loopback address: a code on the wire is a code for whoever reads along.
    requireTLS: !secure && !plain,
    ignoreTLS: plain,
    tls: { minVersion: 'TLSv1.2', ...(caFile === null ? {} : { ca: readFileSync(caFile, 'utf8') }) },
    ...(user !== null && passwordFile !== null
      ? { auth: { user, pass: readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '') } }
      : {}),
    connectionTimeout: STEP_MS_MAX,
    greetingTimeout: STEP_MS_MAX,
    socketTimeout: STEP_MS_MAX,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const inTime = async (work: Promise<unknown>) => {
    try {
      await within(SEND_MS_MAX, work);
    } catch (cause) {
      throw new Failure('MAIL_UNAVAILABLE', { reason: (cause as { code?: string }).code ?? 'error' }, cause);
    }
  };
  return {
    send: (letter) => inTime(transport.sendMail({ from, ...letter })),
    verify: () => inTime(transport.verify()),
  };
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('late'), { code: 'ETIMEDOUT' })), ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** `null` where there is no mail. To be called while its files can still be read. */
export async function mailerOf(options: MailOptions | null): Promise<Mailer | null> {
  return options === null ? null : openMailer(options);
}
