// Rules about the files and programs in which a Linux system keeps its accounts: odd databases, odd PAM stacks, and denials
// by the kernel. A fake has none of them, so these run on the real adapter alone. Never runs outside a guest.

import { deepEqual, equal } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Accounts } from '../../../agent/ports/accounts.ts';
import { type AccountsSubject, changedNames, ROOT, setAndProve } from '../contracts/accounts.ts';
import { drawSecret, type Rule, refuses } from '../contracts/contract.ts';
import { replaceFiles } from './account-settings-in-guest.ts';
import { type End, PROGRAM, replaceProgram, run } from './password-program-in-guest.ts';

const [PASSWD, SHADOW] = ['/etc/passwd', '/etc/shadow'];
const LOCK = '/etc/.pwd.lock';
const ADA_AND_BOB = { ...ROOT, ada: { uid: 1000, password: drawSecret() }, bob: { uid: 1001 } };

/** A new password for ada is proven, and no entry but hers differs. */
async function changesAdaAlone(accounts: Accounts): Promise<void> {
  const before = await accounts.fingerprint();
  const ada = await accounts.resolve('ada');
  await setAndProve(accounts, ada, drawSecret());
  deepEqual(changedNames(before, await accounts.fingerprint()), ['ada']);
  equal(await accounts.usable(ada), true);
  equal((await accounts.resolve('ada')).state, 'active');
}

/** Begins with ada and bob in files that were then edited by hand. */
function afterEdit(edit: () => void) {
  return async (subject: AccountsSubject): Promise<void> => {
    await subject.given(ADA_AND_BOB);
    edit();
    try {
      await changesAdaAlone(subject.accounts());
    } finally {
      rmSync(SHADOW, { force: true });
      rmSync(PASSWD);
    }
  };
}

/** While that holds, a new password for ada fails so, and nothing differs afterwards. */
function failsWhile(make: () => End, reason: string) {
  return async (subject: AccountsSubject): Promise<void> => {
    await subject.given(ADA_AND_BOB);
    const accounts = subject.accounts();
    const [ada, before] = [await accounts.resolve('ada'), await accounts.fingerprint()];
    const end = make();
    try {
      await refuses(accounts.setPassword(ada, drawSecret()), 'PASSWD_FAILED', reason);
    } finally {
      await end();
    }
    deepEqual(await accounts.fingerprint(), before);
  };
}

/** A shell script in the place of the program that hands over to it without the power to pass over modes of files. */
const confined = `exec setpriv --bounding-set=-dac_override,-dac_read_search,-fowner --inh-caps=-dac_override,-dac_read_search,-fowner ${PROGRAM}.away "$@"`;

/** The kernel answers EACCES to the password program, as it does where SELinux or AppArmor deny a file. */
function denied(path: string, mode: number): () => End {
  return () => {
    const endProgram = replaceProgram(confined);
    const before = lstatSync(path).mode;
    chmodSync(path, mode);
    return () => {
      chmodSync(path, before);
      return endProgram();
    };
  };
}

const edited = (path: string, change: (text: string) => string): void =>
  writeFileSync(path, change(readFileSync(path, 'utf8')));
const pam = (text: string) => (): End => replaceFiles({ '/etc/pam.d/passwd': text });

/** While PAM's files say that, these are told of ada. */
function tellsWhile(files: Readonly<Record<string, string>>, expected: readonly string[], name = 'ada') {
  return async (subject: AccountsSubject): Promise<void> => {
    await subject.given(ADA_AND_BOB);
    const accounts = subject.accounts();
    const end = replaceFiles(files);
    try {
      deepEqual(await accounts.obstacles(await accounts.resolve(name)), expected);
    } finally {
      await end();
    }
    deepEqual(await accounts.obstacles(await accounts.resolve(name)), []);
  };
}

const databaseRules: readonly Rule<AccountsSubject>[] = [
  {
    title: 'a hash that stands in the passwd file is changed there, and the shadow file does not count',
    run: afterEdit(() => edited(PASSWD, (text) => text.replace('ada:x:', 'ada:*:'))),
  },
  {
    title: 'a machine without a shadow file keeps its hashes in the passwd file',
    run: afterEdit(() => {
      edited(PASSWD, (text) => text.replaceAll(':x:', ':*:'));
      rmSync(SHADOW);
    }),
  },
  {
    title: 'a shadow file that is missing and needed is told before anything is tried',
    async run(subject) {
      await subject.given(ADA_AND_BOB);
      rmSync(SHADOW);
      await refuses(subject.accounts().resolve('ada'), 'VERIFY_FAILED', 'database_unreadable');
    },
  },
  {
    title: 'a shadow file behind a link is changed for good, whatever becomes of the link',
    run: afterEdit(() => {
      mkdirSync('/srv/accounts', { recursive: true });
      run('mv', [SHADOW, '/srv/accounts/shadow']);
      run('ln', ['-s', '/srv/accounts/shadow', SHADOW]);
    }),
  },
  {
    title: 'busybox follows such a link, and the change is as good',
    async run(subject) {
      await subject.during('program_of_busybox', () =>
        afterEdit(() => {
          mkdirSync('/srv/accounts', { recursive: true });
          run('mv', [SHADOW, '/srv/accounts/shadow']);
          run('ln', ['-s', '/srv/accounts/shadow', SHADOW]);
        })(subject),
      );
    },
  },
  {
    title: 'comments, empty, damaged and short lines that the system drops or fills up are no changed accounts',
    run: afterEdit(() => {
      edited(
        SHADOW,
        (text) => `# by hand\n\n${text.replace(/^bob:.*$/m, '  bob:*:0100')}junk\nkim:*:x::::::\n+::::::::\n`,
      );
      edited(PASSWD, (text) => `#toor:x:0:0:::\n\n  ${text}+eve::::::\n-bob\n+::::::\n`);
    }),
  },
  {
    title: 'two shadow lines of one name are one changed account',
    run: afterEdit(() => appendFileSync(SHADOW, 'ada:*:20000:0:99999:7:::\n')),
  },
  {
    title: 'two passwd lines of one name are ambiguous, whatever their uids',
    async run(subject) {
      await subject.given(ADA_AND_BOB);
      appendFileSync(PASSWD, 'ada:x:1500:1500::/tmp:/bin/sh\n');
      await refuses(subject.accounts().resolve('ada'), 'ACCOUNT_AMBIGUOUS');
    },
  },
  {
    title: 'another spelling of uid 0 is uid 0 to the system and here',
    async run(subject) {
      for (const uid of ['+0', '-0', ' 0', '00']) {
        await subject.given(ADA_AND_BOB);
        appendFileSync(PASSWD, `toor:x:${uid}:0::/root:/bin/sh\n`);
        equal(execFileSync('id', ['-u', 'toor'], { encoding: 'utf8' }).trim(), '0');
        await refuses(subject.accounts().resolve(null), 'ACCOUNT_AMBIGUOUS');
      }
    },
  },
  {
    title: 'names with capitals, dots, digits in front and a dollar at the end are names',
    async run(subject) {
      const names = ['Admin', 'john.doe', 'vm1$', '3com', '_x-y'];
      await subject.given({ ...ROOT, ...Object.fromEntries(names.map((name, n) => [name, { uid: 2000 + n }])) });
      const accounts = subject.accounts();
      for (const name of names) await setAndProve(accounts, await accounts.resolve(name), drawSecret());
    },
  },
];

const programRules: readonly Rule<AccountsSubject>[] = [
  {
    title: 'a lock that is let go can be taken again: the next try succeeds, and no program is left behind',
    async run(subject) {
      await subject.given(ADA_AND_BOB);
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      await subject.during('lock_held', () =>
        refuses(accounts.setPassword(ada, drawSecret()), 'SHADOW_LOCKED', 'lock'),
      );
      equal(execFileSync('sh', ['-c', 'pgrep -x passwd || true'], { encoding: 'utf8' }), '');
      await setAndProve(accounts, ada, drawSecret());
    },
  },
  {
    title: 'a lock that the system does not let the program take is not held by anyone',
    run: failsWhile(() => {
      writeFileSync(LOCK, '');
      return denied(LOCK, 0o000)();
    }, 'lock_unusable'),
  },
  {
    title: 'a folder that the system does not let the program write to',
    run: failsWhile(denied('/etc', 0o555), 'token'),
  },
  {
    title: 'a program that may not be executed',
    run: failsWhile(() => {
      chmodSync(PROGRAM, 0o644);
      return () => chmodSync(PROGRAM, 0o4755);
    }, 'permission'),
  },
  {
    title: 'a program whose own program is not there',
    run: failsWhile(() => {
      const end = replaceProgram('');
      writeFileSync(PROGRAM, '#!/opt/gone/interpreter\n');
      return end;
    }, 'missing'),
  },
  {
    title: 'the real program, made to speak German, is given nothing',
    run: failsWhile(() => replaceProgram(`LANGUAGE=de LC_ALL=C.UTF-8 exec ${PROGRAM}.away "$@"`), 'unknown'),
  },
  {
    title: 'the real program, run in the account’s own name, asks for its password and is given nothing',
    run: failsWhile(
      () => replaceProgram(`exec setpriv --reuid=1000 --regid=1000 --clear-groups ${PROGRAM}.away "$@"`),
      'asks_current',
    ),
  },
  { title: 'a module of PAM that is not there', run: failsWhile(pam('password required pam_gone.so\n'), 'pam') },
  {
    title: 'a service without rules of PAM goes by those of other, which deny',
    run: failsWhile(() => {
      const file = '/etc/pam.d/passwd';
      run('mv', [file, '/root/pam']);
      return () => run('mv', ['/root/pam', file]);
    }, 'token'),
  },
  {
    title: 'a PAM stack that asks for no password has set none',
    run: failsWhile(pam('password required pam_permit.so\n'), 'not_asked'),
  },
  {
    title: 'a second module in the PAM stack is no obstacle',
    async run(subject) {
      await subject.given(ADA_AND_BOB);
      const end = pam('password optional pam_unix.so yescrypt\npassword required pam_unix.so yescrypt\n')();
      try {
        await changesAdaAlone(subject.accounts());
      } finally {
        await end();
      }
    },
  },
  {
    title: 'a password that the system keeps by DES is proven, and told to have eight characters',
    async run(subject) {
      await subject.given(ADA_AND_BOB);
      const accounts = subject.accounts();
      const end = replaceFiles({
        '/etc/pam.d/passwd': 'password required pam_unix.so\n',
        '/etc/login.defs': 'ENCRYPT_METHOD DES\n',
      });
      try {
        await changesAdaAlone(accounts);
      } finally {
        await end();
      }
      deepEqual(await accounts.obstacles(await accounts.resolve('ada')), ['ACCOUNT_HASH_SHORT']);
    },
  },
  {
    title: 'a file that keeps everybody but root out is told, and not of root',
    async run(subject) {
      await tellsWhile({ '/etc/nologin': 'Closed.\n' }, ['NOLOGIN_FILE'])(subject);
      await tellsWhile({ '/etc/nologin': 'Closed.\n' }, [], 'root')(subject);
    },
  },
  {
    title: 'services at which nobody is asked for the local password are told, where none is left that does',
    async run(subject) {
      const foreign = 'auth required pam_sss.so\naccount required pam_unix.so\n';
      await tellsWhile({ '/etc/pam.d/login': foreign, '/etc/pam.d/sshd': foreign }, ['PAM_NO_PASSWORD'])(subject);
      await tellsWhile({ '/etc/pam.d/login': foreign, '/etc/pam.d/sshd': 'auth include su\n' }, [])(subject);
      await tellsWhile({ '/etc/pam.d/login': '@include common\n', '/etc/pam.d/common': foreign }, ['PAM_NO_PASSWORD'])(
        subject,
      );
    },
  },
];

export const linuxAccountRules: readonly Rule<AccountsSubject>[] = [...databaseRules, ...programRules];
