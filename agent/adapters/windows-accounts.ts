// What Windows says of its local accounts and of one password, through scripts. Looks only; judges nothing but the form of
// an answer, and that strictly: what is not understood is an error, never an account.

import { z } from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { parseSchema } from '../../protocol/schema.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { Processes } from '../ports/process.ts';
import { runScript, type Script, type ScriptAnswer, ScriptTrouble } from './powershell.ts';
import type { WindowsHost } from './windows-host.ts';

/**
 * Local accounts by Get-LocalUser, and whether each is locked out, which only Win32_UserAccount tells. Times are whole
 * seconds from now, but for the moment at which the password was set: that is exact and stays the same, in ticks of 100 ns.
 * A domain controller has no local accounts; its role is 4 or 5 (Win32_ComputerSystem, DomainRole).
 */
const LIST = `
$role = [int](Get-CimInstance -ClassName Win32_ComputerSystem -Property DomainRole).DomainRole
$accounts = @()
if ($role -lt 4) {
  $locked = @{}
  foreach ($each in Get-CimInstance -ClassName Win32_UserAccount -Filter 'LocalAccount=TRUE') {
    $locked[$each.SID] = [bool]$each.Lockout
  }
  $now = [DateTime]::Now
  $seconds = { param($at) if ($at -eq $null) { $null } else { [long][Math]::Floor(($at - $now).TotalSeconds) } }
  $accounts = @(foreach ($each in Get-LocalUser) {
    @{
      name = [string]$each.Name
      sid = $each.SID.Value
      enabled = [bool]$each.Enabled
      lockedOut = [bool]$locked[$each.SID.Value]
      passwordSet = if ($each.PasswordLastSet -eq $null) { $null } else { $each.PasswordLastSet.ToUniversalTime().Ticks.ToString() }
      accountEnds = & $seconds $each.AccountExpires
      passwordEnds = & $seconds $each.PasswordExpires
    }
  })
}
Answer @{ role = $role; accounts = $accounts }
`;

/**
 * LogonUser with the machine's own database ('.') and the network's way to sign in, which starts no session (advapi32;
 * LOGON32_LOGON_NETWORK is 3, LOGON32_PROVIDER_DEFAULT is 0). The signs # stand for quotation marks, which a command line
 * has its own ideas about.
 */
const LOGON = `
$code = '
  [DllImport(#advapi32.dll#, CharSet = CharSet.Unicode, SetLastError = true)]
  public static extern bool LogonUserW(string user, string domain, string password, int type, int provider, out IntPtr token);
  [DllImport(#kernel32.dll#)]
  public static extern bool CloseHandle(IntPtr handle);
  public static int Attempt(string user, byte[] password) {
    IntPtr token;
    if (!LogonUserW(user, #.#, System.Text.Encoding.UTF8.GetString(password), 3, 0, out token)) return Marshal.GetLastWin32Error();
    CloseHandle(token);
    return 0;
  }
'.Replace('#', [string][char]34)
Add-Type -Namespace Latchkey -Name Logon -MemberDefinition $code
Answer @{ error = [Latchkey.Logon]::Attempt($request.name, $secret) }
`;

/** RegFlushKey on the database of accounts: without it a power cut can bring the old password back. */
const FLUSH = `
$key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SAM\\SAM')
$key.Flush()
$key.Close()
Answer @{ flushed = $true }
`;

export const accountScripts = { LIST, LOGON, FLUSH } as const;

const whole = z.int();
const listed = z.strictObject({
  role: z.int().check(z.gte(0), z.lte(5)),
  accounts: z.array(
    z.strictObject({
      name: z.string().check(z.minLength(1), z.maxLength(256)),
      sid: z.string().check(z.regex(/^S-1-5-21(?:-[0-9]{1,10}){3}-[0-9]{1,10}$/)),
      enabled: z.boolean(),
      lockedOut: z.boolean(),
      passwordSet: z.nullable(z.string().check(z.regex(/^[0-9]{1,19}$/))),
      accountEnds: z.nullable(whole),
      passwordEnds: z.nullable(whole),
    }),
  ),
});
const logon = z.strictObject({ error: z.int().check(z.nonnegative()) });
const flush = z.strictObject({ flushed: z.literal(true) });

export type WindowsAccount = Readonly<z.infer<typeof listed>['accounts'][number] & { rid: number }>;

const DOMAIN_CONTROLLER_ROLE = 4;

export function windowsAccounts(processes: Processes, host: WindowsHost) {
  async function ask<S extends z.core.$ZodType>(wanted: Script, schema: S): Promise<z.core.output<S>> {
    try {
      const { value }: ScriptAnswer = await runScript(processes, host, wanted);
      return parseSchema(schema, value);
    } catch (error) {
      if (error instanceof ScriptTrouble) throw new Failure('VERIFY_FAILED', { reason: error.reason }, error);
      if (error instanceof Failure) throw new Failure('VERIFY_FAILED', { reason: 'script_answer' }, error);
      throw error;
    }
  }

  return {
    /** Throws `DOMAIN_CONTROLLER`, or `VERIFY_FAILED` where the machine gives no answer that could be believed. */
    async list(): Promise<readonly WindowsAccount[]> {
      const { role, accounts } = await ask({ script: LIST }, listed);
      if (role >= DOMAIN_CONTROLLER_ROLE) throw new Failure('DOMAIN_CONTROLLER');
      const found = accounts.map((account) => ({ ...account, rid: Number(account.sid.split('-').at(-1)) }));
      // All of one database: the same machine's identifier before the account's own number, and each number once.
      const machines = new Set(found.map(({ sid }) => sid.slice(0, sid.lastIndexOf('-'))));
      const numbers = new Set(found.map(({ rid }) => rid));
      if (machines.size !== 1 || numbers.size !== found.length)
        throw new Failure('VERIFY_FAILED', { reason: 'accounts_unclear' });
      return found;
    },

    /** The error of LogonUser; 0 where the password opened the account. */
    async logon(name: string, password: Secret): Promise<number> {
      const secret = password.revealBytes();
      try {
        return (await ask({ script: LOGON, request: { name }, secret }, logon)).error;
      } finally {
        secret.fill(0);
      }
    },

    async flush(): Promise<void> {
      await ask({ script: FLUSH }, flush);
    },
  };
}
