// The real services adapter, on systemd and Debian's unit of TigerVNC, in a guest.

import { describeInGuest } from '../contracts/guest-run.ts';
import { servicesRules } from '../contracts/services.ts';

const titles = servicesRules.map(({ title }) => title);
describeInGuest('services', titles, { guest: { layout: 'systemd', vnc: true } });
