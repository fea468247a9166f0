// The smallest program that keeps a WebSocket open, with the agent's own interval of pings: what the agent is measured by.

import { readFileSync } from 'node:fs';
import WebSocket from 'ws';

const [url = '', ca] = process.argv.slice(2);
const tls = ca === undefined ? {} : { ca: readFileSync(ca), minVersion: 'TLSv1.3' as const };
const ws = new WebSocket(url, { perMessageDeflate: false, ...tls });
ws.once('open', () => console.log('connected'));
setInterval(() => ws.ping(), 30_000);
