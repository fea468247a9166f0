// The services that a guest's init keeps: the product's by default, a forwarder before them, a VNC server after them.
// Their order is the order of their start. It must never name a program that init would need a shell for.
import { existsSync } from 'node:fs';

export type Service = {
  name: string;
  user: string;
  /** `oneshot` holds up the services after it until it ends; `accept` runs once for each connection to the executor. */
  policy: 'always' | 'once' | 'oneshot' | 'accept';
  argv: readonly string[];
};

/** The port inside the guest that leads to the supervisor. */
export const FORWARD_PORT = 7443;
export const VNC_PORT = 5901;

export const FORWARD_SERVICE: Service = {
  name: 'forward',
  user: 'root',
  policy: 'always',
  argv: ['/usr/lib/latchkey-lab/lab-forward', String(FORWARD_PORT), '/run/lab/wire/out.sock'],
};

/** The product as a guest runs it, by the words that start its command line. */
const productServices = (...agent: string[]): readonly Service[] => [
  { name: 'executor', user: 'root', policy: 'accept', argv: [...agent, 'executor'] },
  { name: 'enrol', user: 'root', policy: 'oneshot', argv: [...agent, 'enrol'] },
  { name: 'link', user: 'latchkey-agent', policy: 'always', argv: [...agent, 'run'] },
];

export const PRODUCT_SERVICES: readonly Service[] = productServices('/usr/bin/latchkey-agent');

/** The same from the bundle in `dist/agent`, which must have been built, run by that Node of the project. */
export const bundleServices = (node = `node_modules/node-linux-${process.arch}/bin/node`): readonly Service[] =>
  productServices(`/usr/lib/latchkey-agent/${node}`, '/usr/lib/latchkey-agent/dist/agent/main.js');

/** Debian's wrapper where it is there, since only it works on a copy of the password file; else the server itself. */
export function findVncService(): Service | undefined {
  const wrapper = ['/usr/bin/tigervncserver', ':1', '-fg', '-localhost', 'yes', '-SecurityTypes', 'VncAuth'];
  const session = ['-xstartup', '/usr/lib/latchkey-lab/session'];
  const service = { name: 'vnc', user: 'ada', policy: 'always' } as const;
  if (existsSync('/usr/bin/Xtigervnc') && existsSync('/usr/bin/tigervncserver')) {
    return { ...service, argv: [...wrapper, ...session] };
  }
  const server = ['/usr/bin/Xtigervnc', '/usr/bin/Xvnc'].find((path) => existsSync(path));
  if (!server) return undefined;
  const password = ['-PasswordFile', '/home/ada/.vnc/passwd', '-SecurityTypes', 'VncAuth'];
  return { ...service, argv: [server, ':1', '-rfbport', String(VNC_PORT), '-localhost', ...password] };
}

function quote(word: string): string {
  if (/["\n\0]/.test(word)) throw new Error(`init cannot read this word: ${JSON.stringify(word)}`);
  return word === '' || /[ \t]/.test(word) ? `"${word}"` : word;
}

export function servicesText(services: readonly Service[]): string {
  return services
    .map(({ name, user, policy, argv }) => `${[name, user, policy, ...argv].map(quote).join(' ')}\n`)
    .join('');
}
