// What lists are asked for and what they give: filters, pages, and the labels that machines are chosen by.

import { z } from 'zod';
import { states } from '../../protocol/lifecycle.ts';
import { operatorName, projectName } from '../../protocol/schema.ts';
import { mailAddress } from '../config/mail.ts';
import { next, pageQuery } from './pages.ts';
import { operationView, time, vmName, vmView } from './schemas.ts';

const LABELS_MAX = 32;
const LABEL_NAME = '[A-Za-z0-9][A-Za-z0-9._/-]{0,62}';
const LABEL_VALUE = '[A-Za-z0-9._:/-]{0,63}';

export const labelName = z.string().regex(new RegExp(`^${LABEL_NAME}$`));
export const labelValue = z.string().regex(new RegExp(`^${LABEL_VALUE}$`));

/** `env=prod,tier=web`, or `env` for any value: machines that have all of these. */
export const labelSelector = z
  .string()
  .max(600)
  .regex(new RegExp(`^${LABEL_NAME}(=${LABEL_VALUE})?(,${LABEL_NAME}(=${LABEL_VALUE})?){0,7}$`));

/** Part of a text, in whichever case. */
const text = z.string().min(1).max(80);

export const vmStates = ['online', 'offline', 'held', 'busy'] as const;

/** What chooses machines. Each that is given must hold. */
export const vmFilter = {
  name: vmName.optional(),
  project: z.optional(projectName),
  /** `held`: its identity is; `busy`: an approved operation is under way. */
  state: z.enum(vmStates).optional(),
  label: labelSelector.optional(),
  /** The agent's. */
  version: z.string().min(1).max(80).optional(),
  /** A machine that was never seen was seen before any time. */
  seen_before: time.optional(),
  seen_after: time.optional(),
  /** In the name, the id or the agent's id. */
  text: text.optional(),
};

/** `GET /v1/vms` */
export const vmQuery = z.strictObject({ ...vmFilter, ...pageQuery });
export const vmList = z.strictObject({ items: z.array(vmView), next });
export type VmList = z.infer<typeof vmList>;

/** `GET /v1/operations` */
export const operationQuery = z.strictObject({
  vm: z.string().min(1).max(80).optional(),
  project: z.optional(projectName),
  state: z.enum(states).optional(),
  /** Of the machine, as it is now. */
  label: labelSelector.optional(),
  operator: z.optional(operatorName),
  created_before: time.optional(),
  created_after: time.optional(),
  /** In the operation's id, or the machine's name. */
  text: text.optional(),
  ...pageQuery,
});
export const operationList = z.strictObject({ items: z.array(operationView), next });
export type OperationList = z.infer<typeof operationList>;

/** `PATCH /v1/vms/{vm}`: labels that are named are set or, with `null`, taken away; the others stay. */
export const vmChange = z.strictObject({
  labels: z
    .record(labelName, labelValue.nullable())
    .refine((labels) => Object.keys(labels).length <= LABELS_MAX)
    .optional(),
});
export type VmChange = z.infer<typeof vmChange>;

/** What a machine may have in all. */
export const isWithinLabels = (labels: object): boolean => Object.keys(labels).length <= LABELS_MAX;

/** `GET` and `POST /v1/vms/:vm/owner`: who is told by mail of resets of the machine; `null` for nobody. */
export const ownerView = z.strictObject({ email: z.string().max(200).regex(mailAddress).nullable() });
