// Who root's processes become: by option, by account, by number; and what is refused before anything is touched.

import { expect, test } from 'vitest';
import { readUsers } from '../../../control-plane/config/users.ts';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\ngames:x:5:60:games:/usr/games:/bin/false\nbroken\n+::::::\n';
const ACCOUNTS = `${PASSWD}latchkey:x:301:302::/:/bin/false\nlatchkey-signer:x:303:304::/:/bin/false\n`;
const asRoot = (flags: object = {}, passwd = PASSWD) => readUsers(flags, { isRoot: true, passwd });
const id = (uid: number, gid = uid) => ({ uid, gid });

test('whoever is not root is one user, and cannot be told to be two', () => {
  const around = { isRoot: false, passwd: ACCOUNTS };
  expect(readUsers({}, around)).toBeNull();
  for (const flags of [{ user: 'latchkey' }, { signerUser: '7' }]) {
    expect(() => readUsers(flags, around)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  }
});

test('root is two users: those of the options, else those of the accounts, else two numbers', () => {
  expect(asRoot()).toEqual({ web: id(60_901), signer: id(60_902), asked: false });
  expect(asRoot({}, ACCOUNTS)).toEqual({ web: id(301, 302), signer: id(303, 304), asked: true });
  const flags = { user: '70:71', signerUser: 'games' };
  expect(asRoot(flags, ACCOUNTS)).toEqual({ web: id(70, 71), signer: id(5, 60), asked: true });
});

test.each([
  [{ user: 'nobody-knows' }],
  [{ user: '0' }],
  [{ signerUser: 'root' }],
  [{ user: '7:8:9' }],
  [{ user: '99999999999' }],
  [{ user: '-1' }],
  [{ user: '' }],
  [{ user: '60902' }],
  [{ user: '70:80', signerUser: '71:80' }],
  [{ user: '70', signerUser: '70:71' }],
])('root cannot be %j', (flags) => {
  expect(() => asRoot(flags)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
});

test('a number that an account has is nobody’s to take', () => {
  expect(() => asRoot({}, `${PASSWD}someone:x:60902:100::/:/bin/sh\n`)).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      details: { field: 'signer-user', reason: 'uid_60902_is_taken' },
    }),
  );
});
