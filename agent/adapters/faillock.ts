// The tallies of pam_faillock(8): who is kept out after too many wrong passwords, by the module's own rule. Pure: reads
// texts and bytes, and never touches a tally.

export type FaillockSettings = Readonly<{
  dir: string;
  deny: number;
  failIntervalS: number;
  /** 0 for ever. */
  unlockS: number;
  rootUnlockS: number;
  evenRoot: boolean;
}>;

/** faillock.conf(5): what holds where nothing is said. */
const DEFAULTS: Options = {
  dir: '/var/run/faillock',
  deny: '3',
  fail_interval: '900',
  unlock_time: '600',
};

type Options = Readonly<Record<string, string>>;

/** struct tally in faillock.h: source[52], reserved, status (16 bits each), time (64 bits), in the machine's order. */
const RECORD_BYTES = 64;
const STATUS_AT = 54;
const TIME_AT = 56;
const STATUS_VALID = 1;

/** The settings of each line in pam.d texts that calls the module; none where it is not in use. */
export function faillockSettings(pamTexts: readonly string[], conf: string): readonly FaillockSettings[] {
  const common = { ...DEFAULTS, ...optionsOf(conf.split('\n').map((line) => line.replace(/#.*/, ''))) };
  const lines = pamTexts.flatMap((text) => text.split('\n')).map((line) => line.replace(/#.*/, ''));
  return lines.flatMap((line) => {
    const [, args] = /^\s*-?auth\s.*\bpam_faillock\.so(.*)$/.exec(line) ?? [];
    return args === undefined ? [] : [settingsOf({ ...common, ...optionsOf(args.split(/\s+/)) })];
  });
}

/** `name=value`, `name = value` or `name`, one in each text. */
function optionsOf(texts: readonly string[]): Options {
  return Object.fromEntries(
    texts.flatMap((text) => {
      const [, name, value = ''] = /^\s*([a-z_]+)\s*(?:=\s*(\S+))?\s*$/.exec(text) ?? [];
      return name === undefined ? [] : [[name, value]];
    }),
  );
}

function settingsOf(options: Options): FaillockSettings {
  const number = (name: string): number => (/^[0-9]+$/.test(options[name] ?? '') ? Number(options[name]) : 0);
  return {
    dir: options['dir'] ?? '',
    deny: number('deny'),
    failIntervalS: number('fail_interval'),
    // `never` is no number, and so 0.
    unlockS: number('unlock_time'),
    rootUnlockS: number(options['root_unlock_time'] === undefined ? 'unlock_time' : 'root_unlock_time'),
    // A time for root alone means root as well (faillock.conf(5)).
    evenRoot: options['even_deny_root'] !== undefined || options['root_unlock_time'] !== undefined,
  };
}

/** Whether the module refuses this account now. */
export function isBlocked(tally: Uint8Array, settings: FaillockSettings, uid: number, nowS: number): boolean {
  if (settings.deny === 0 || (uid === 0 && !settings.evenRoot)) return false;
  const times = validTimes(tally);
  const latest = Math.max(0, ...times);
  const recent = times.filter((time) => latest - time < settings.failIntervalS);
  if (recent.length < settings.deny) return false;
  const unlockS = uid === 0 ? settings.rootUnlockS : settings.unlockS;
  return unlockS === 0 || latest + unlockS >= nowS;
}

function validTimes(tally: Uint8Array): readonly number[] {
  const view = new DataView(tally.buffer, tally.byteOffset, tally.byteLength);
  const times: number[] = [];
  for (let at = 0; at + RECORD_BYTES <= tally.length; at += RECORD_BYTES) {
    // Both architectures of this product count from the low end.
    if ((view.getUint16(at + STATUS_AT, true) & STATUS_VALID) === 0) continue;
    times.push(Number(view.getBigUint64(at + TIME_AT, true)));
  }
  return times;
}
