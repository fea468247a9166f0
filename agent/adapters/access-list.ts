// Who may do what with a folder of Windows, read from its security descriptor in SDDL. Pure. That form names well-known
// accounts alike in every language and tells the owner, which the output of `icacls` does not.

/** `closed`: nobody else has any part in it. `unwritable`: others may read it and run what lies there. */
export type AccessDemand = 'closed' | 'unwritable';

/** SYSTEM, Administrators, and the installer of Windows' own parts. */
const TRUSTED = [
  'SY',
  'S-1-5-18',
  'BA',
  'S-1-5-32-544',
  'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464',
];
/** What stands for whoever makes a file in the folder: nobody, where others may make none. */
const CREATORS = ['CO', 'S-1-3-0'];

const DESCRIPTOR = /^O:([A-Za-z0-9-]+?)(?:G:[A-Za-z0-9-]+?)?D:([A-Z_]*)((?:\([^()]*\))*)$/;
const ENTRY = /\(([A-Z]+);([A-Z]*);([^;()]*);;;([A-Za-z0-9-]+)\)/g;
/** To read, to look, and to run (ntifs.h: FILE_GENERIC_READ and FILE_GENERIC_EXECUTE), and the same as generic rights. */
const READ_AND_RUN = 0xa012_00a9;
const READ_AND_RUN_WORDS = ['FR', 'FX', 'GR', 'GX', 'RC'];

/** Why the folder does not meet the demand; `undefined` where it does. What is not understood does not. */
export function accessFault(descriptor: string, demand: AccessDemand): string | undefined {
  const [whole, owner = '', flags = '', list = ''] = DESCRIPTOR.exec(descriptor) ?? [];
  if (whole === undefined) return 'access_form';
  if (!TRUSTED.includes(owner)) return 'owner';
  // No list at all lets everybody in.
  if (flags.includes('NO_ACCESS_CONTROL')) return 'access_list';
  const entries = [...list.matchAll(ENTRY)];
  if (entries.map(([entry]) => entry).join('') !== list) return 'access_form';
  for (const [, type = '', inheritance = '', rights = '', account = ''] of entries) {
    if (type === 'D' || TRUSTED.includes(account)) continue;
    if (type !== 'A') return 'access_form';
    if (demand === 'closed') return 'access_list';
    const made = CREATORS.includes(account) && /^(?:..)*IO/.test(inheritance);
    if (!made && !isReading(rights)) return 'access_list';
  }
  return undefined;
}

function isReading(rights: string): boolean {
  if (/^0x[0-9a-f]{1,8}$/i.test(rights)) return (Number(rights) & ~READ_AND_RUN) === 0;
  const words = rights.match(/../g) ?? [];
  return rights.length % 2 === 0 && words.every((word) => READ_AND_RUN_WORDS.includes(word));
}
