// Where the agent's files lie in a machine.

export const paths = {
  trust: '/etc/latchkey-agent/trust.json',
  config: '/etc/latchkey-agent/agent.json',
  joinToken: '/etc/latchkey-agent/join-token',
  /** Copied from a config drive by latchkey-seed.service. */
  driveToken: '/run/latchkey-seed/join-token',
  /** A random value written at enrolment: the machine's own root has it, another one has not. */
  marker: '/etc/latchkey-agent/root-marker',
  /** Root's, so that the link's user cannot put another folder in the executor's place. */
  state: '/var/lib/latchkey-agent',
  link: '/var/lib/latchkey-agent/link',
  executor: '/var/lib/latchkey-agent/executor',
  /** Roots learned since the image was made; each half keeps its own. */
  linkRoots: '/var/lib/latchkey-agent/link/root',
  executorRoots: '/var/lib/latchkey-agent/executor/root',
  socket: '/run/latchkey-agent/executor.sock',
  /** Notes for `latchkey-agent status`. */
  linkNote: '/var/lib/latchkey-agent/link/status.json',
  enrolmentNote: '/var/lib/latchkey-agent/enrolment.json',
} as const;
