// The smallest WebSocket program once more, which also keeps V8's compilers out and collects its garbage once, as the agent
// does at its first beat.

import { interpretOnly, processMemory } from '../../agent/link/memory.ts';
import './bare-ws.ts';

interpretOnly();
setTimeout(() => processMemory(0).collect(), 30_000);
