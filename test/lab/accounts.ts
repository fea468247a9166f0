// The accounts of a guest, as text for its own /etc. All of it is made up here; the runner's account files must never be
// read for it.
export type Account = { name: string; uid: number; gid: number; home: string; shell: string; shadow: ShadowFields };

/** The fields of a shadow line after the name; "" leaves a number unset. */
export type ShadowFields = {
  field: string;
  lastChanged: number | '';
  min: number | '';
  max: number | '';
  warn: number | '';
  inactive: number | '';
  expires: number | '';
};

/** What a guest's creator may set for an account: a new name makes a new account and needs a uid. */
export type AccountOptions = Partial<ShadowFields> & {
  uid?: number;
  gid?: number;
  home?: string;
  shell?: string;
  absent?: boolean;
};

export type Group = { name: string; gid: number; members: readonly string[] };

const NO_PASSWORD: ShadowFields = {
  field: '*',
  lastChanged: 20_000,
  min: 0,
  max: 99_999,
  warn: 7,
  inactive: '',
  expires: '',
};

function account(name: string, uid: number, home: string, shell = '/usr/sbin/nologin'): Account {
  return { name, uid, gid: uid, home, shell, shadow: NO_PASSWORD };
}

const ACCOUNTS: readonly Account[] = [
  account('root', 0, '/root', '/bin/bash'),
  account('daemon', 1, '/usr/sbin'),
  account('messagebus', 101, '/nonexistent'),
  account('latchkey-agent', 950, '/var/lib/latchkey-agent'),
  account('ada', 1000, '/home/ada', '/bin/bash'),
  account('bob', 1001, '/home/bob', '/bin/bash'),
  account('nobody', 65_534, '/nonexistent'),
];

const SYSTEM_GROUPS: readonly Group[] = [
  { name: 'tty', gid: 5, members: [] },
  { name: 'mail', gid: 8, members: [] },
  { name: 'sudo', gid: 27, members: ['ada'] },
  { name: 'shadow', gid: 42, members: [] },
  { name: 'utmp', gid: 43, members: [] },
];

export function buildAccounts(changes: Readonly<Record<string, AccountOptions>> = {}): Account[] {
  const names = new Set([...ACCOUNTS.map(({ name }) => name), ...Object.keys(changes)]);
  return [...names].flatMap((name) => {
    const { uid, gid, home, shell, absent, ...shadow } = changes[name] ?? {};
    if (absent) return [];
    const known = ACCOUNTS.find((entry) => entry.name === name);
    if (!known && uid === undefined) throw new Error(`account ${name} is new and needs a uid`);
    const base = known ?? account(name, uid ?? 0, `/home/${name}`, '/bin/bash');
    return [
      {
        name,
        uid: uid ?? base.uid,
        gid: gid ?? base.gid,
        home: home ?? base.home,
        shell: shell ?? base.shell,
        shadow: { ...base.shadow, ...shadow },
      },
    ];
  });
}

export function buildGroups(accounts: readonly Account[]): Group[] {
  const own = accounts.map(({ name, gid }) => ({ name: name === 'nobody' ? 'nogroup' : name, gid, members: [] }));
  const fresh = own.filter(({ gid }, index) => own.findIndex((group) => group.gid === gid) === index);
  return [...fresh, ...SYSTEM_GROUPS].toSorted((left, right) => left.gid - right.gid);
}

function lines(rows: readonly (readonly (string | number)[])[]): string {
  return rows.map((row) => `${row.join(':')}\n`).join('');
}

export function passwdText(accounts: readonly Account[]): string {
  return lines(accounts.map(({ name, uid, gid, home, shell }) => [name, 'x', uid, gid, name, home, shell]));
}

export function shadowText(accounts: readonly Account[]): string {
  return lines(
    accounts.map(({ name, shadow }) => {
      const { field, lastChanged, min, max, warn, inactive, expires } = shadow;
      return [name, field, lastChanged, min, max, warn, inactive, expires, ''];
    }),
  );
}

export function groupText(groups: readonly Group[]): string {
  return lines(groups.map(({ name, gid, members }) => [name, 'x', gid, members.join(',')]));
}

export function gshadowText(groups: readonly Group[]): string {
  return lines(groups.map(({ name, members }) => [name, '*', '', members.join(',')]));
}
