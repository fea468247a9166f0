// `latchkey-agent facts`: facts about this machine for people to look at, as one JSON line. A short process of its own, so
// that what gathers them is not resident.

import { arch, hostname, release, totalmem, uptime } from 'node:os';
import si from 'systeminformation';
import { parseSchema } from '../protocol/schema.ts';
import { type Facts, facts as factsSchema } from '../protocol/session.ts';

const TEXT_MAX = 120;

export async function gatherFacts(agentVersion: string, boot: string): Promise<Facts> {
  const [os, system] = await Promise.all([si.osInfo(), si.system()]);
  const text = (value: string | undefined) => (value ?? '').slice(0, TEXT_MAX);
  return parseSchema(factsSchema, {
    os: text(`${os.distro} ${os.release}`.trim()),
    kernel: text(release()),
    arch: text(arch()),
    virtualisation: text(system.virtual ? (system.virtualHost ?? 'unknown') : 'none'),
    memory_bytes: totalmem(),
    uptime_s: Math.floor(uptime()),
    boot,
    hostname: text(hostname()),
    agent_version: text(agentVersion),
  });
}
