// The real VNC adapters against users who mean harm, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { adversaryRules } from './vnc-adversary-in-guest.ts';
import { needOf } from './vnc-stands.ts';

const titles = adversaryRules.map(({ title }) => title);
describeInGuest('vnc-adversary', titles, { needs: [needOf('tigervnc')] });
