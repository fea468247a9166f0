// The real VNC adapter, on Debian's x11vnc, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { vncRules } from '../contracts/vnc.ts';
import { needOf, vncStands } from './vnc-stands.ts';

const titles = vncRules(vncStands.x11vnc.traits).map(({ title }) => title);
describeInGuest('x11vnc', titles, { needs: [needOf('x11vnc')] });
