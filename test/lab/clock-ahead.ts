// Preloaded into a control plane by tests alone (`node --import URL?ms=NUMBER`): its wall clock goes that far ahead. Its
// monotonic clock, and with it every timer, is as it was.

const aheadMs = Number(new URL(import.meta.url).searchParams.get('ms'));
const Real = Date;

class DateAhead extends Real {
  constructor(...given: [] | [number | string]) {
    if (given.length === 0) super(Real.now() + aheadMs);
    else super(given[0]);
  }

  static override now(): number {
    return Real.now() + aheadMs;
  }
}

globalThis.Date = DateAhead as DateConstructor;
