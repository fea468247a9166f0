// How mail leaves: an SMTP server, from options or the environment. A password is in a file of its own and never among these
// values.

import { Failure } from '../../protocol/failure.ts';
import { demandFile, isLoopback } from './checks.ts';

export type MailFlags = Readonly<{
  smtpUrl?: string;
  smtpUser?: string;
  smtpPasswordFile?: string;
  smtpCa?: string;
  mailFrom?: string;
}>;

export type MailOptions = Readonly<{
  host: string;
  port: number;
  /** TLS from the first byte; otherwise by STARTTLS, which is then demanded. */
  secure: boolean;
  /** Without TLS: to the loopback address alone. */
  plain: boolean;
  user: string | null;
  passwordFile: string | null;
  caFile: string | null;
  from: string;
}>;

export const mailAddress = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$/;
const SMTPS_PORT = 465;
const SUBMISSION_PORT = 587;

/** `null` where no server is named. Throws `CONFIG_INVALID` naming the option. */
export function readMailOptions(flags: MailFlags, env: NodeJS.ProcessEnv): MailOptions | null {
  const url = flags.smtpUrl ?? env['LATCHKEY_SMTP_URL'];
  const user = flags.smtpUser ?? env['LATCHKEY_SMTP_USER'] ?? null;
  const passwordFile = flags.smtpPasswordFile ?? env['LATCHKEY_SMTP_PASSWORD_FILE'] ?? null;
  const caFile = flags.smtpCa ?? env['LATCHKEY_SMTP_CA_FILE'] ?? null;
  const from = flags.mailFrom ?? env['LATCHKEY_MAIL_FROM'];
  if (url === undefined) {
    const orphan = {
      'smtp-user': user,
      'smtp-password-file': passwordFile,
      'smtp-ca': caFile,
      'mail-from': from ?? null,
    };
    const [field] = Object.entries(orphan).find(([, value]) => value !== null) ?? [];
    if (field !== undefined) throw refusal(field, 'smtp-url_missing');
    return null;
  }
  if (from === undefined || !mailAddress.test(from)) throw refusal('mail-from', 'address');
  if ((user === null) !== (passwordFile === null)) throw refusal('smtp-user', 'user_and_password_file');
  if (passwordFile !== null) demandFile(passwordFile, 'smtp-password-file', true);
  if (caFile !== null) demandFile(caFile, 'smtp-ca', false);
  return { ...parseSmtp(url), user, passwordFile, caFile, from };
}

function parseSmtp(text: string): Pick<MailOptions, 'host' | 'port' | 'secure' | 'plain'> {
  const url = URL.canParse(text) ? new URL(text) : null;
  const known = url?.protocol === 'smtp:' || url?.protocol === 'smtps:';
  // A password in an address would end up in a list of processes.
  if (
    !url ||
    !known ||
    url.hostname === '' ||
    url.username !== '' ||
    url.password !== '' ||
    !/^\/?$/.test(url.pathname)
  ) {
    throw refusal('smtp-url', 'smtp(s)://host:port');
  }
  const secure = url.protocol === 'smtps:';
  const port = url.port === '' ? (secure ? SMTPS_PORT : SUBMISSION_PORT) : Number(url.port);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port, secure, plain: !secure && isLoopback(host) };
}

function refusal(field: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { field, reason });
}
