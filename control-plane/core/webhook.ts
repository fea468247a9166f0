// What becomes of a webhook's message after each attempt, and when the next one is.

/** `error` is `null` where the receiver took it. */
export type Attempt = Readonly<{ status: number | null; error: string | null }>;
export type After = Readonly<{ state: 'delivered' | 'pending' | 'dead'; delayMs: number }>;
export type Pace = Readonly<{ attemptsMax: number; firstMs: number; factor: number; longestMs: number }>;

/** Ten attempts over a day and a half: a receiver may be away over a night. */
export const PACE: Pace = { attemptsMax: 10, firstMs: 5_000, factor: 4, longestMs: 43_200_000 };

/** The receiver's own word that nothing more shall come. */
const GONE = 410;

/** `attempts` counts this one; `chance` is drawn from 0 to 1, so that many messages that failed together come apart. */
export function afterAttempt({ status, error }: Attempt, attempts: number, chance: number, pace: Pace = PACE): After {
  if (error === null) return { state: 'delivered', delayMs: 0 };
  if (attempts >= pace.attemptsMax || status === GONE) return { state: 'dead', delayMs: 0 };
  const longest = Math.min(pace.longestMs, pace.firstMs * pace.factor ** (attempts - 1));
  return { state: 'pending', delayMs: Math.round(longest * (0.5 + chance / 2)) };
}

/** Whether that is a type, or every type of a kind (`vm.*`), or every type (`*`), of these. */
export function isSubscribable(pattern: string, types: readonly string[]): boolean {
  return types.some((type) => matches(pattern, type));
}

export function wants(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => matches(pattern, type));
}

function matches(pattern: string, type: string): boolean {
  if (pattern === '*' || pattern === type) return true;
  return pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1));
}
