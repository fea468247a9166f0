// The real VNC adapter, on Debian's TightVNC, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { vncRules } from '../contracts/vnc.ts';
import { needOf, vncStands } from './vnc-stands.ts';

const titles = vncRules(vncStands.tightvnc.traits).map(({ title }) => title);
describeInGuest('tightvnc', titles, { needs: [needOf('tightvnc')] });
