// The roots that a machine has learned, in memory.

import type { Roots } from '../../../agent/executor/parts.ts';
import { advanceRoot, type RootPayload } from '../../../protocol/root.ts';

export function rootsFake(first: RootPayload): Roots {
  let root = first;
  return {
    newest: async () => root,
    async add(document) {
      root = await advanceRoot(root, document);
      return root;
    },
  };
}
