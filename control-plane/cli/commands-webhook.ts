// `latchkey webhook`: who is told what happens, and what became of each message.

import { type Command, Option } from 'commander';
import { type DeliveryView, deliveryStates, type WebhookView } from '../api/schemas-webhooks.ts';
import { type CommonOptions, onServer, withConnection } from './action.ts';
import { seconds } from './commands-reset.ts';
import { table, writeJson, writeLine, writeNote } from './view/text.ts';

type CreateOptions = CommonOptions & Readonly<{ events?: string; project?: string }>;
type ListOptions = CommonOptions & Readonly<{ project?: string }>;
type DeliveriesOptions = CommonOptions & Readonly<{ state?: DeliveryView['state']; limit?: number }>;

export function registerWebhookCommands(program: Command): void {
  const webhook = program.command('webhook').description('receivers that are told what happens, by signed messages');

  const create = withConnection(webhook.command('create'))
    .description('register a receiver; what its messages are signed with is shown once')
    .argument('<url>', 'where it takes messages (https:)')
    .option('--events <types>', 'what it is told, such as operation.state,vm.*; everything without it')
    .option('--project <project>', 'whose events; the installation’s own project without it');
  onServer<CreateOptions>(create, async ({ api }, { json, events, project }, [url = '']) => {
    const made = await api.createWebhook({
      url,
      ...(events === undefined ? {} : { events: events.split(',').map((type) => type.trim()) }),
      ...(project === undefined ? {} : { project }),
    });
    if (json) return writeJson({ event: 'webhook', ...made });
    writeLine(made.secret);
    return writeNote(`Shown this once. The receiver ${made.id} verifies messages with it (standardwebhooks.com).`);
  });

  const list = withConnection(webhook.command('list'))
    .description('receivers, and how many messages wait or were given up')
    .option('--project <project>', 'of this project');
  onServer<ListOptions>(list, async ({ api }, { json, project }) => {
    const { items } = await api.webhooks(project);
    if (json) for (const item of items) writeJson(item);
    else writeLine(items.length === 0 ? 'No webhooks.' : table([HEAD, ...items.map(row)]));
  });

  const remove = withConnection(webhook.command('remove'))
    .description('remove a receiver, with its messages')
    .argument('<webhook>');
  onServer<CommonOptions>(remove, async ({ api }, { json }, [id = '']) => {
    const { url } = await api.removeWebhook(id);
    if (json) writeJson({ event: 'removed', webhook: id });
    else writeLine(`Removed ${id}: ${url} is told nothing more.`);
  });

  const test = withConnection(webhook.command('test')).description('send a receiver a message of type webhook.test');
  onServer<CommonOptions>(test.argument('<webhook>'), async ({ api }, { json }, [id = '']) => {
    const message = await api.testWebhook(id);
    if (json) writeJson({ event: 'delivery', ...message });
    else writeLine(`Sent ${message.id}. See what became of it:  latchkey webhook deliveries ${id}`);
  });

  registerDeliveries(webhook);
}

function registerDeliveries(webhook: Command): void {
  const deliveries = withConnection(webhook.command('deliveries'))
    .description('messages of a receiver, newest first')
    .argument('<webhook>')
    .addOption(new Option('--state <state>', 'only those in that state').choices(deliveryStates))
    .option('--limit <count>', 'at most this many', seconds(1, 500));
  onServer<DeliveriesOptions>(deliveries, async ({ api }, { json, state, limit }, [id = '']) => {
    const { items } = await api.deliveries(id, { ...(state === undefined ? {} : { state }), limit: limit ?? 50 });
    if (json) for (const item of items) writeJson(item);
    else writeLine(items.length === 0 ? 'No messages.' : table([DELIVERY_HEAD, ...items.map(deliveryRow)]));
  });

  const redeliver = withConnection(webhook.command('redeliver'))
    .description('send a message that is over once more, with the same id')
    .argument('<webhook>')
    .argument('<message>');
  onServer<CommonOptions>(redeliver, async ({ api }, { json }, [id = '', message = '']) => {
    const again = await api.redeliver(id, message);
    if (json) writeJson({ event: 'delivery', ...again });
    else writeLine(`${message} is sent again.`);
  });
}

const HEAD = ['ID', 'URL', 'EVENTS', 'PROJECT', 'WAITING', 'GIVEN UP'];

function row({ id, url, events, project, pending, dead }: WebhookView): string[] {
  return [id, url, events.join(','), project, String(pending), String(dead)];
}

const DELIVERY_HEAD = ['ID', 'TYPE', 'STATE', 'ATTEMPTS', 'ANSWER', 'NEXT ATTEMPT', 'CREATED'];

function deliveryRow({
  id,
  type,
  state,
  attempts,
  status,
  error,
  next_attempt_at,
  created_at,
}: DeliveryView): string[] {
  const answer = [status === null ? '' : String(status), error ?? ''].filter((part) => part !== '').join(' ');
  return [id, type, state, String(attempts), answer, next_attempt_at ?? '', created_at];
}
