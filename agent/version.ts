// The agent's version, as it tells the control plane and as `latchkey-agent version` prints it.

import manifest from '../package.json' with { type: 'json' };

export const AGENT_VERSION: string = manifest.version;
