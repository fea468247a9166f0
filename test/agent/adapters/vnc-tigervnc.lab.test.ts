// The real VNC adapter, on Debian's TigerVNC, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { vncRules } from '../contracts/vnc.ts';
import { needOf, vncStands } from './vnc-stands.ts';

for (const name of ['tigervnc', 'x0tigervnc'] as const) {
  const titles = vncRules(vncStands[name].traits).map(({ title }) => title);
  describeInGuest(name, titles, { needs: [needOf(name)] });
}
