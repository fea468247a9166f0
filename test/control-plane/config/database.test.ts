// Which database is meant: a clear word for what is wrong, no password where others could read it, and TLS off this machine.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readDatabaseOptions } from '../../../control-plane/config/database.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchkey-database-'));
afterAll(() => rmSync(folder, { recursive: true }));
const secret = join(folder, 'password');
writeFileSync(secret, 'x', { mode: 0o600 });
const ca = join(folder, 'ca.pem');
writeFileSync(ca, 'PEM', { mode: 0o644 });

const read = (databaseUrl: string, more: object = {}) => readDatabaseOptions({ databaseUrl, ...more }, {});
const refusal = (field: string, reason: string) =>
  expect.objectContaining({ code: 'CONFIG_INVALID', details: { field, reason } });

test('without an address it is SQLite, and the environment may name one', () => {
  expect(readDatabaseOptions({}, {})).toBeNull();
  const env = { LATCHKEY_DATABASE_URL: 'postgres://me@localhost/latchkey', LATCHKEY_DATABASE_PASSWORD_FILE: secret };
  expect(readDatabaseOptions({}, env)).toEqual({
    ...{ host: 'localhost', port: 5432, user: 'me', database: 'latchkey', password: 'x', tls: null },
  });
});

test('a socket is named by its folder', () => {
  const place = read('postgresql:///latchkey?host=/run/postgresql&user=me');
  expect(place).toMatchObject({ host: '/run/postgresql', user: 'me', database: 'latchkey', tls: null });
});

test('another machine is reached by TLS alone, of the authority that is named or the system’s', () => {
  expect(read('postgresql://me@db.example:6432/latchkey')).toMatchObject({ port: 6432, tls: { ca: null } });
  expect(read('postgresql://me@[2001:db8::1]/latchkey')).toMatchObject({ host: '2001:db8::1', tls: { ca: null } });
  expect(read('postgresql://me@127.0.0.1/latchkey', { databaseCa: ca })).toMatchObject({ tls: { ca: 'PEM' } });
});

test.each([
  ['postgresql://me:secret@localhost/latchkey', 'password'],
  ['mysql://me@localhost/latchkey', 'postgresql://user@host:port/name'],
  ['postgresql://localhost/latchkey', 'postgresql://user@host:port/name'],
  ['postgresql://me@localhost/', 'postgresql://user@host:port/name'],
  ['postgresql:///latchkey?user=me', 'postgresql://user@host:port/name'],
  ['postgresql:///latchkey?host=run&user=me', 'postgresql://user@host:port/name'],
  ['postgresql://me@db.example/latchkey?sslmode=disable', 'postgresql://user@host:port/name'],
  ['latchkey', 'postgresql://user@host:port/name'],
])('%s is refused', (url, reason) => {
  expect(() => read(url)).toThrow(refusal('database-url', reason));
});

test('a password that others may read is refused, and so is one without a database', () => {
  writeFileSync(join(folder, 'open'), 'x', { mode: 0o644 });
  const flags = { databasePasswordFile: join(folder, 'open') };
  const field = 'database-password-file';
  expect(() => read('postgresql://me@localhost/l', flags)).toThrow(refusal(field, 'others_may_read_it'));
  expect(() => read('postgresql://me@localhost/l', { databasePasswordFile: join(folder, 'no') })).toThrow(
    refusal(field, 'ENOENT'),
  );
  expect(() => readDatabaseOptions(flags, {})).toThrow(refusal(field, 'database-url_missing'));
  expect(() => readDatabaseOptions({ databaseCa: ca }, {})).toThrow(refusal('database-ca', 'database-url_missing'));
});
