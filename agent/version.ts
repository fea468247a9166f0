// The agent's version, as it tells the control plane and as `latchkey-agent version` prints it.

import { readFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const AGENT_VERSION: string = version;
