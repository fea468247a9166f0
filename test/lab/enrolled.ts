// A guest with the product in it, attached to a control plane: the files that an image and a first boot would have put
// there, and a wait until the agent is connected.

import { createGuest, type Guest, type GuestOptions } from './guest.ts';

/** Where a guest finds its control plane: the lab's forwarder, whatever listens behind it. */
export const AGENT_URL = 'ws://localhost:7443/agent/v1';

export type Attachment = Readonly<{
  /** Port on the runner's loopback. */
  port: number;
  trust: unknown;
  joinToken: string;
}>;

/** agent.json of lab guests: their root is an overlay, and their connection does not leave the machine. */
export const LAB_AGENT_CONFIG = { v: 1, rootfs: ['overlay'], plain_ws_loopback: true } as const;

export type AttachedOptions = GuestOptions & {
  agentConfig?: Readonly<Record<string, unknown>>;
  /** How the machine gets its join token; as a file by default. A credential needs systemd. */
  delivery?: 'file' | 'credential';
  /** Of a machine that was registered; else one is made. */
  joinToken?: string;
};

/** Makes a guest with everything in place for its first boot; `boot` is the caller's. */
export async function createAttachedGuest(
  { port, trust, joinToken }: Attachment,
  options: AttachedOptions,
): Promise<Guest> {
  const { agentConfig = LAB_AGENT_CONFIG, delivery = 'file', ...guestOptions } = options;
  const guest = createGuest(guestOptions);
  await guest.writeFile('/etc/latchkey-agent/trust.json', JSON.stringify(trust));
  await guest.writeFile('/etc/latchkey-agent/agent.json', JSON.stringify(agentConfig));
  if (delivery === 'credential') await guest.giveCredential('latchkey.join-token', joinToken);
  else await guest.writeFile('/etc/latchkey-agent/join-token', `${joinToken}\n`, 0o600);
  guest.connectTo(port);
  return guest;
}
