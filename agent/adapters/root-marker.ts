// The marker that enrolment left in the machine's own root, compared with what is remembered. Reads only.

import { readFileSync } from 'node:fs';
import { errnoOf } from './errno.ts';

export function compareMarker(path: string, remembered: string): 'same' | 'other' | 'missing' {
  try {
    return readFileSync(path, 'utf8').trim() === remembered.trim() ? 'same' : 'other';
  } catch (error) {
    // One that is there and cannot be read is not the one that enrolment wrote.
    return errnoOf(error) === 'ENOENT' ? 'missing' : 'other';
  }
}
