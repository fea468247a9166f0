// Where webhooks may go beside the public Internet, from options or the environment.

import { readFileSync } from 'node:fs';
import { Failure } from '../../protocol/failure.ts';
import { type Network, parseNetwork } from '../webhooks/reach.ts';
import { demandFile } from './checks.ts';

export type WebhookFlags = Readonly<{ webhookAllow?: string; webhookCa?: string }>;
export type WebhookOptions = Readonly<{ allowed: readonly Network[]; ca: string | null }>;

/** Throws `CONFIG_INVALID` naming the option. */
export function readWebhookOptions(flags: WebhookFlags, env: NodeJS.ProcessEnv): WebhookOptions {
  const networks = flags.webhookAllow ?? env['LATCHKEY_WEBHOOK_ALLOW'] ?? '';
  const caFile = flags.webhookCa ?? env['LATCHKEY_WEBHOOK_CA_FILE'] ?? null;
  if (caFile !== null) demandFile(caFile, 'webhook-ca', false);
  const words = networks.split(',').filter((word) => word !== '');
  return { allowed: words.map(networkOf), ca: caFile === null ? null : readFileSync(caFile, 'utf8') };
}

function networkOf(text: string): Network {
  try {
    return parseNetwork(text.trim());
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { field: 'webhook-allow', reason: 'address/bits' }, cause);
  }
}
