// Where the agent's files lie in a machine.

const onLinux = {
  trust: '/etc/latchkey-agent/trust.json',
  config: '/etc/latchkey-agent/agent.json',
  joinToken: '/etc/latchkey-agent/join-token',
  /** Copied from a config drive by latchkey-seed.service. */
  driveToken: '/run/latchkey-seed/join-token' as string | null,
  /** A random value written at enrolment: the machine's own root has it, another one has not. */
  marker: '/etc/latchkey-agent/root-marker',
  /** Root's, so that the link's user cannot put another folder in the executor's place. */
  state: '/var/lib/latchkey-agent',
  link: '/var/lib/latchkey-agent/link',
  executor: '/var/lib/latchkey-agent/executor',
  /** Roots learned since the image was made; each half keeps its own. */
  linkRoots: '/var/lib/latchkey-agent/link/root',
  executorRoots: '/var/lib/latchkey-agent/executor/root',
  socket: '/run/latchkey-agent/executor.sock' as string | null,
  /** Notes for `latchkey-agent status`. */
  linkNote: '/var/lib/latchkey-agent/link/status.json',
  enrolmentNote: '/var/lib/latchkey-agent/enrolment.json',
};

/** The folder on Windows: `latchkey-agent install` makes it, for SYSTEM and Administrators alone. */
const onWindows = (folder: string): typeof onLinux => ({
  trust: `${folder}\\trust.json`,
  config: `${folder}\\agent.json`,
  joinToken: `${folder}\\join-token`,
  // Nobody copies one from a drive there, and there is no socket: the link starts executors by itself.
  driveToken: null,
  socket: null,
  marker: `${folder}\\root-marker`,
  state: folder,
  link: `${folder}\\link`,
  executor: `${folder}\\executor`,
  linkRoots: `${folder}\\link\\root`,
  executorRoots: `${folder}\\executor\\root`,
  linkNote: `${folder}\\link\\status.json`,
  enrolmentNote: `${folder}\\enrolment.json`,
});

export const paths: Readonly<typeof onLinux> =
  process.platform === 'win32'
    ? onWindows(`${process.env['ProgramData'] ?? 'C:\\ProgramData'}\\latchkey-agent`)
    : onLinux;
