// What the HTTP API takes and gives around webhooks. As in schemas.ts, one schema a body, strict both ways.

import { z } from 'zod';
import { operatorName, projectName } from '../../protocol/schema.ts';
import { isSubscribable } from '../core/webhook.ts';
import { next, pageQuery } from './pages.ts';
import { eventTypes, time } from './schemas.ts';

const id = (kind: string) => z.string().regex(new RegExp(`^${kind}_[0-9a-hjkmnp-tv-z]{26}$`));
const webhookId = id('whk');
const deliveryId = id('msg');
export const webhookParams = z.strictObject({ webhook: webhookId });
export const deliveryParams = z.strictObject({ webhook: webhookId, delivery: deliveryId });

/** A type of event, every type of a kind (`operation.*`), or all of them (`*`). */
const pattern = z.string().max(60);

/** `POST /v1/webhooks` */
export const webhookRequest = z.strictObject({
  /** `https:`, and to the public Internet, unless the host's configuration says more. */
  url: z.string().max(1_000),
  /** Whose events it is told: the installation's own project without it. */
  project: z.optional(projectName),
  events: z
    .array(pattern.refine((text) => isSubscribable(text, eventTypes)))
    .min(1)
    .max(50)
    .optional(),
});
export type WebhookRequest = z.infer<typeof webhookRequest>;

export const webhookView = z.strictObject({
  id: webhookId,
  project: projectName,
  url: z.string(),
  events: z.array(z.string()),
  created_by: operatorName,
  created_at: time,
  /** Messages that wait for their next attempt, and those that were given up. */
  pending: z.number().int(),
  dead: z.number().int(),
});
export type WebhookView = z.infer<typeof webhookView>;
export const webhookQuery = z.strictObject({ project: z.optional(projectName) });
export const webhookList = z.strictObject({ items: z.array(webhookView) });

export const webhookCreated = webhookView.extend({
  /** What its messages are signed with, as Standard Webhooks writes it. Shown once. */
  secret: z.string().regex(/^whsec_[A-Za-z0-9+/]{43}=$/),
});
export type WebhookCreated = z.infer<typeof webhookCreated>;

export const deliveryStates = ['pending', 'delivered', 'dead'] as const;

export const deliveryView = z.strictObject({
  /** `webhook-id`: the same at each attempt. */
  id: deliveryId,
  webhook: webhookId,
  type: z.string(),
  state: z.enum(deliveryStates),
  attempts: z.number().int(),
  /** The status that the last attempt was answered with. */
  status: z.number().int().nullable(),
  /** Why it failed: `STATUS`, `REDIRECT`, `TIMEOUT`, `ADDRESS_REFUSED`, or the system's name for it. */
  error: z.string().nullable(),
  next_attempt_at: time.nullable(),
  created_at: time,
  updated_at: time,
});
export type DeliveryView = z.infer<typeof deliveryView>;
export const deliveryList = z.strictObject({ items: z.array(deliveryView), next });

export const deliveryQuery = z.strictObject({ ...pageQuery, state: z.enum(deliveryStates).optional() });
