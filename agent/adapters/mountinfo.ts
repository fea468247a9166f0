// Reads the text of /proc/PID/mountinfo (proc(5)). Pure; never opens anything.

export type Mount = Readonly<{ mountPoint: string; type: string; readOnly: boolean }>;

/** The mounts in the order in which they were made; lines that do not have the documented form are left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    // "36 35 98:0 /root /mount/point rw,noatime optional... - type source rw"
    const [before, after] = line.split(' - ', 2);
    const [, , , , mountPoint, options] = before?.split(' ') ?? [];
    const [type, , superOptions] = after?.split(' ') ?? [];
    if (!mountPoint || !options || !type) return [];
    const readOnly = [options, superOptions ?? ''].some((list) => list.split(',').includes('ro'));
    return [{ mountPoint: unescapeMount(mountPoint), type, readOnly }];
  });
}

/** The mount that a path inside sees at `mountPoint`: the last one made there covers the others. */
export function topMount(mounts: readonly Mount[], mountPoint: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === mountPoint);
}

/** Blank, tab, newline and backslash stand as three octal digits. */
function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
