// Letters over a real SMTP server: who may read along, what is said when it does not work, and that nothing waits for ever.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readMailOptions } from '../../../control-plane/config/mail.ts';
import { openMailer } from '../../../control-plane/signer/mailer.ts';
import { codeOf } from '../../../protocol/failure.ts';
import { unavailable } from '../../requirements.ts';

type Delivery = { from: string; to: string[]; secure: boolean; user: string | undefined; text: string };

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-mail-'));
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('key.pem')];
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...subject, '-out', at('cert.pem')], {
    stdio: 'ignore',
  });
  writeFileSync(at('password'), 'what-the-server-knows\n', { mode: 0o600 });
  writeFileSync(at('wrong'), 'something-else\n', { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true }));

async function withServer(
  options: SMTPServerOptions,
  work: (port: number, deliveries: Delivery[]) => Promise<void>,
): Promise<void> {
  const deliveries: Delivery[] = [];
  const server = new SMTPServer({
    key: readFileSync(at('key.pem')),
    cert: readFileSync(at('cert.pem')),
    authOptional: true,
    onAuth({ username, password }, _session, done) {
      if (username === 'latchkey' && password === 'what-the-server-knows') done(null, { user: username });
      else done(new Error('no'));
    },
    onData(stream, session, done) {
      let text = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        const from = mailFrom === false ? '' : mailFrom.address;
        deliveries.push({
          from,
          to: rcptTo.map(({ address }) => address),
          secure: session.secure,
          user: session.user,
          text,
        });
        done();
      });
    },
    ...options,
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  try {
    await work((server.server.address() as AddressInfo).port, deliveries);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

const options = (smtpUrl: string, more: object = {}) => {
  const read = readMailOptions({ smtpUrl, mailFrom: 'latchkey@example.org', ...more }, {});
  if (!read) throw new Error('no options');
  return read;
};
const letter = { to: 'ada@example.org', subject: 'a code', text: 'the code is 12345678\n' };
const login = () => ({ smtpUser: 'latchkey', smtpPasswordFile: at('password') });

/** Demands STARTTLS as it would of a server elsewhere; the test's own is on the loopback address. */
const elsewhere = (port: number, more: object = {}) => ({ ...options(`smtp://localhost:${port}`, more), plain: false });

describe('a letter', () => {
  beforeEach((context) => {
    if (!existsSync(at('cert.pem'))) unavailable(context, 'openssl', 'apt-get install openssl');
  });

  test('over TLS reaches the server as it was written, from whoever has the password', () =>
    withServer({ secure: true, authOptional: false }, async (port, deliveries) => {
      const mailer = await openMailer(options(`smtps://localhost:${port}`, { ...login(), smtpCa: at('cert.pem') }));
      await mailer.send(letter);
      expect(deliveries).toMatchObject([
        { from: 'latchkey@example.org', to: ['ada@example.org'], secure: true, user: 'latchkey' },
      ]);
      expect(deliveries[0]?.text).toContain('the code is 12345678');
      expect(deliveries[0]?.text).toMatch(/^Subject: a code$/m);
    }));

  test('begins in clear and goes on with TLS where the server says so', () =>
    withServer({ secure: false }, async (port, deliveries) => {
      await (await openMailer(elsewhere(port, { ...login(), smtpCa: at('cert.pem') }))).send(letter);
      expect(deliveries).toMatchObject([{ secure: true, user: 'latchkey' }]);
    }));

  test.each<[string, SMTPServerOptions, (port: number) => Parameters<typeof openMailer>[0]]>([
    ['to a server without TLS that is not on this machine', { hideSTARTTLS: true }, (port) => elsewhere(port)],
    [
      'to a server whose certificate nobody vouched for',
      { secure: true },
      (port) => options(`smtps://localhost:${port}`),
    ],
    [
      'with a wrong password',
      { secure: true },
      (port) =>
        options(`smtps://localhost:${port}`, {
          smtpUser: 'latchkey',
          smtpPasswordFile: at('wrong'),
          smtpCa: at('cert.pem'),
        }),
    ],
  ])('%s is MAIL_UNAVAILABLE and not sent', (_, server, make) =>
    withServer(server, async (port, deliveries) => {
      const sent = (await openMailer(make(port))).send(letter);
      await expect(sent).rejects.toMatchObject({ code: 'MAIL_UNAVAILABLE' });
      expect(deliveries).toEqual([]);
    }),
  );

  test('cannot add headers or recipients by what it says', () =>
    withServer({ secure: false }, async (port, deliveries) => {
      const mailer = await openMailer(options(`smtp://127.0.0.1:${port}`));
      await mailer.send({ ...letter, subject: 'a code\r\nBcc: eve@example.org' });
      expect(deliveries[0]?.to).toEqual(['ada@example.org']);
      expect(deliveries[0]?.text).not.toMatch(/^Bcc:/m);
    }));

  test('to a server that is away, or that says nothing, ends by itself', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()));
    const { port } = silent.address() as AddressInfo;
    const mute = (await openMailer(options(`smtp://127.0.0.1:${port}`))).send(letter);
    await expect(mute).rejects.toMatchObject({ code: 'MAIL_UNAVAILABLE' });
    silent.close();
    const away = (await openMailer(options(`smtp://127.0.0.1:${port}`))).send(letter);
    await expect(away).rejects.toMatchObject({ code: 'MAIL_UNAVAILABLE' });
  });
});

describe('the settings', () => {
  test('come from options, else from the environment, else there is no mail', () => {
    const env = { LATCHKEY_SMTP_URL: 'smtps://mail.example', LATCHKEY_MAIL_FROM: 'a@example.org' };
    expect(readMailOptions({}, env)).toMatchObject({ host: 'mail.example', port: 465, secure: true, plain: false });
    expect(readMailOptions({ smtpUrl: 'smtp://other.example' }, env)).toMatchObject({
      host: 'other.example',
      port: 587,
    });
    expect(readMailOptions({ smtpUrl: 'smtp://[::1]:25' }, env)).toMatchObject({ host: '::1', plain: true });
    expect(readMailOptions({}, {})).toBeNull();
  });

  test.each<[string, object]>([
    ['a password in the address', { smtpUrl: 'smtp://user:secret@mail.example' }],
    ['another protocol', { smtpUrl: 'http://mail.example' }],
    ['no address', { smtpUrl: 'mail.example' }],
    ['no sender', { mailFrom: undefined }],
    ['a sender that is none', { mailFrom: 'nobody' }],
    ['a user without a password', { smtpUser: 'latchkey' }],
    ['a password file that is not there', { smtpUser: 'latchkey', smtpPasswordFile: '/nonexistent' }],
    ['a sender and no server', { smtpUrl: undefined }],
  ])('with %s are CONFIG_INVALID', (_, change) => {
    const flags = { smtpUrl: 'smtp://mail.example', mailFrom: 'a@example.org', ...change };
    expect(() => readMailOptions(flags as never, {})).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  test('with a password that others may read are CONFIG_INVALID', () => {
    chmodSync(at('wrong'), 0o644);
    let code: unknown;
    try {
      options('smtp://mail.example', { smtpUser: 'latchkey', smtpPasswordFile: at('wrong') });
    } catch (error) {
      code = codeOf(error);
    }
    expect(code).toBe('CONFIG_INVALID');
    chmodSync(at('wrong'), 0o600);
  });
});
