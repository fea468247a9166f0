// The real VNC adapter, on Debian's TigerVNC, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { vncRules } from '../contracts/vnc.ts';
import { hasTigervnc } from './vnc-in-guest.ts';

const needs = [{ name: 'TigerVNC', command: 'apt-get install tigervnc-standalone-server', met: hasTigervnc() }];

describeInGuest(
  'vnc',
  vncRules.map(({ title }) => title),
  { needs },
);
