// The real VNC adapter, on Debian's wayvnc, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { vncRules } from '../contracts/vnc.ts';
import { needOf, vncStands } from './vnc-stands.ts';

const titles = vncRules(vncStands.wayvnc.traits).map(({ title }) => title);
describeInGuest('wayvnc', titles, { needs: [needOf('wayvnc')] });
