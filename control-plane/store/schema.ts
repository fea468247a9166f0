// A database against the versions that this program knows: opened, brought up to date, or only compared.

import { Failure } from '../../protocol/failure.ts';
import type { Engine, Migration, Place } from './engine.ts';
import { demandKnown, migrations, SCHEMA_VERSION } from './migrations.ts';
import { openPostgres } from './postgres.ts';
import { openSqlite } from './sqlite.ts';

/** Throws `DATABASE_NEWER`, before anything is written, or `DATABASE_UNUSABLE`. */
export async function openEngine(place: Place): Promise<Engine> {
  return 'file' in place ? openSqlite(place.file) : openPostgres(place);
}

export async function migrate(engine: Engine): Promise<void> {
  for (const step of await missingSteps(engine)) await engine.apply(step);
}

/** The steps that the database lacks. Throws `DATABASE_NEWER`. */
export async function missingSteps(engine: Engine): Promise<readonly Migration[]> {
  const have = await engine.version();
  demandKnown(have);
  return migrations.filter(({ version }) => version > have);
}

/** Throws `DATABASE_OLDER` and `DATABASE_NEWER`. */
export async function demandUpToDate(engine: Engine): Promise<void> {
  const [next] = await missingSteps(engine);
  if (next) throw new Failure('DATABASE_OLDER', { have: next.version - 1, known: SCHEMA_VERSION });
}
