// All VNC adapters as one port, on Debian's servers, in one guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { needOf } from './vnc-stands.ts';
import { togetherRules } from './vnc-together-in-guest.ts';

const titles = togetherRules.map(({ title }) => title);
describeInGuest('vnc-together', titles, { needs: [needOf('tigervnc'), needOf('tightvnc'), needOf('x11vnc')] });
