// What the HTTP API takes and gives around machines to come: one is registered, and answered with what its first boot needs.

import { z } from 'zod';
import { GRACE_S_MAX } from '../../protocol/limits.ts';
import { accountName, operationId, projectName, vncServerId } from '../../protocol/schema.ts';
import { time, vmName, vmView } from './schemas.ts';
import { isWithinLabels, labelName, labelValue } from './schemas-lists.ts';

/** `POST /v1/vms` */
export const vmRequest = z.strictObject({
  name: vmName,
  /** Whose machine it is: the installation's own project without it. */
  project: z.optional(projectName),
  labels: z.record(labelName, labelValue).refine(isWithinLabels).optional(),
  /** Absent or `null`: the image's default administrator. */
  account: z.nullable(accountName).optional(),
  /** Its first VNC password: the account's (the default), or one of its own; `null`: it gets none. */
  vnc_initial: z.enum(['same', 'independent']).nullable().optional(),
  /** Absent or `null`: the configured server, or the only one. */
  vnc_server: z.nullable(vncServerId).optional(),
  /** Before its first passwords are set: time for what else the first boot does. */
  grace_s: z.number().int().min(0).max(GRACE_S_MAX).optional(),
  /** How long the machine may take to come: an hour at most, and by default. */
  ttl_s: z.number().int().min(60).max(3_600).optional(),
  /** SMBIOS system UUID of the one instance that may come. */
  instance: z.guid().optional(),
});
export type VmRequest = z.infer<typeof vmRequest>;

const file = z.strictObject({ name: z.string(), text: z.string() });

/** Its join token is shown this once, and stored as its hash. */
export const vmCreated = z.strictObject({
  vm: vmView,
  /** The operation that will set its first passwords, once an operator has proven it and the machine is there. */
  op: operationId,
  join: z.strictObject({
    id: z.string(),
    token: z.string().regex(/^lkj_[A-Za-z0-9_-]{43}$/),
    expires_at: time,
    /** For its first boot, by one of these ways. */
    material: z.strictObject({
      /** An OEM string of SMBIOS (type 11): a credential of systemd. */
      smbios: z.string(),
      /** For cloud-init. */
      user_data: z.string(),
      /** The files of a NoCloud drive. */
      nocloud: z.array(file),
    }),
  }),
});
export type VmCreated = z.infer<typeof vmCreated>;
