// Names for new machines, and what a connection's counter says of its identity.

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const NAME_LENGTH_MAX = 63;

/** The wanted name, or with a number behind it when it is taken: `web`, `web-2`, `web-3`. */
export function freeName(wanted: string, isUsed: (name: string) => boolean): string {
  const base = cleanName(wanted);
  for (let n = 1; ; n += 1) {
    const suffix = n === 1 ? '' : `-${n}`;
    const name = `${base.slice(0, NAME_LENGTH_MAX - suffix.length)}${suffix}`;
    if (!isUsed(name)) return name;
  }
}

/** A guest says its own host name: it becomes a name of ours, whatever it holds. */
export function cleanName(text: string): string {
  const clean = text
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, NAME_LENGTH_MAX);
  return NAME.test(clean) ? clean : 'vm';
}

/**
 * The counter that an identity brings against the one stored here. The agent stores the welcome's before we learn of it,
 * so one more than ours is a lost `hello_ok`; less means that an older state of its disk came back, or a copy of it.
 */
export function judgeCounter(stored: number, said: number): 'same' | 'rolled_back' | 'ahead' {
  if (said < stored) return 'rolled_back';
  return said > stored + 1 ? 'ahead' : 'same';
}
