// `latchkey migrate`: brings the database up to date while nothing of an earlier version runs on it, or says what that would
// do. Each step is whole or not at all; one from a later version is refused and left as it is.

import { existsSync } from 'node:fs';
import { Failure } from '../../../protocol/failure.ts';
import { type DatabaseFlags, readDatabaseOptions } from '../../config/database.ts';
import { pathsIn } from '../../config/paths.ts';
import type { Place } from '../../store/engine.ts';
import { SCHEMA_VERSION } from '../../store/migrations.ts';
import { missingSteps, openEngine } from '../../store/schema.ts';
import { dataFolder } from '../connection.ts';
import { writeJson, writeLine } from '../view/text.ts';

export type MigrateOptions = DatabaseFlags & Readonly<{ data?: string; dryRun?: boolean; json?: boolean }>;

/** The database that the options mean. Throws `CONFIG_INVALID` where there is none: nothing is made by looking. */
export function databasePlace(options: DatabaseFlags & Readonly<{ data?: string }>): Place {
  const place = readDatabaseOptions(options, process.env);
  if (place) return place;
  const file = pathsIn(options.data ?? dataFolder()).database;
  if (!existsSync(file)) throw new Failure('CONFIG_INVALID', { field: 'data', reason: 'no_database' });
  return { file };
}

export async function migrateDatabase(options: MigrateOptions): Promise<void> {
  const engine = await openEngine(databasePlace(options));
  try {
    const have = await engine.version();
    const missing = await missingSteps(engine);
    if (options.dryRun) await engine.rehearse(missing);
    else for (const step of missing) await engine.apply(step);
    report(options, have, missing.length);
  } finally {
    await engine.close();
  }
}

function report({ dryRun = false, json }: MigrateOptions, have: number, steps: number): void {
  const done = dryRun ? 'can be brought' : 'was brought';
  const tail = dryRun ? ': tried, and undone' : '';
  if (json) writeJson({ event: dryRun ? 'rehearsed' : 'migrated', from: have, to: SCHEMA_VERSION, steps });
  else if (steps === 0) writeLine(`The database is of version ${have}, as this program is. There is nothing to do.`);
  else writeLine(`The database ${done} from version ${have} to ${SCHEMA_VERSION}, in ${steps} steps${tail}.`);
}
