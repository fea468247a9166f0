// Runs inside a guest: one RFB handshake on its loopback with the password from standard input, and the verdict on standard
// output. The password is in no argument and no variable.

import { readFileSync } from 'node:fs';
import { authenticateRfb } from '../../agent/adapters/rfb.ts';

const password = readFileSync(0);
const verdict = await authenticateRfb(
  {
    address: '127.0.0.1',
    port: Number(process.argv[2]),
    localAddress: process.argv[3] ?? '127.0.0.77',
    timeoutMs: 5_000,
    quietMs: 250,
    isServer: () => true,
  },
  { user: undefined, password },
);
console.log(typeof verdict === 'string' ? verdict : verdict.verdict);
