// Who may do what, as a table: every request of the API is in it, and a role may what it says and nothing more.

import { expect, test } from 'vitest';
import { entryOf, requests } from '../../../control-plane/api/contract.ts';
import { decided, may, needOf, rights, roles } from '../../../control-plane/core/rights.ts';

const ids = requests.map((request) => entryOf(...(request.split(' ') as [string, string])).id);

test('every request is decided, and nothing else is', () => {
  expect(decided.toSorted()).toEqual(ids.toSorted());
  expect(() => needOf('somethingNew')).toThrow('no right for somethingNew');
  expect(() => needOf('toString')).toThrow('no right for toString');
});

test('what the contract calls open is open, and nothing else is', () => {
  const open = requests.filter((request) => entryOf(...(request.split(' ') as [string, string])).open);
  const free = requests.filter((request) => needOf(entryOf(...(request.split(' ') as [string, string])).id) === 'open');
  expect(free).toEqual(open);
});

test('each role has the rights that its name says', () => {
  const table = roles.map((role) => [role, rights.filter((right) => may(role, right))]);
  expect(Object.fromEntries(table)).toEqual({
    viewer: ['read'],
    operator: ['read', 'operate'],
    auditor: ['read', 'audit'],
    admin: ['read', 'operate', 'audit', 'administer'],
  });
});
