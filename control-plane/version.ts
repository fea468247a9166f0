// The program's version, read once from package.json. It must never be repeated anywhere else.

import manifest from '../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
