// Facts about this machine for people to look at, gathered in a short process so that what gathers them is not resident.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Failure } from '../../protocol/failure.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type Facts, facts as factsSchema } from '../../protocol/session.ts';
import type { Host } from '../ports/host.ts';

const FACTS_TIMEOUT_MS = 20_000;

/** `entry` is the command line's file. What the child says is checked like any other input. */
export async function readFactsInChild(entry: string, { environment: env }: Host): Promise<Facts> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [entry, 'facts'], {
      timeout: FACTS_TIMEOUT_MS,
      env,
    });
    return parseSchema(factsSchema, JSON.parse(stdout));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('INTERNAL', { reason: 'facts' }, cause);
  }
}
