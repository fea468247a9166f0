// How each command is used: shown by its help and in the man page. A test reads each of them as the program would.

import type { Command } from 'commander';
import { leavesOf } from './tree.ts';

const examples: Readonly<Record<string, readonly string[]>> = {
  'latchkey serve': [
    'latchkey serve --tls-self-signed --listen 0.0.0.0:8420',
    'latchkey serve --listen 127.0.0.1:8420 --public-url https://latchkey.example --agent-url wss://latchkey.example/v1/agent',
  ],
  'latchkey gateway': [
    'latchkey gateway --database-url postgresql://latchkey@db.example/latchkey --listen 127.0.0.1:8421',
  ],
  'latchkey web': [
    'latchkey web --database-url postgresql://latchkey@db.example/latchkey --agent-url wss://agents.example/v1/agent',
  ],
  'latchkey signer': ['latchkey signer --public-url https://latchkey.example'],
  'latchkey login': [
    'latchkey login --url https://latchkey.example',
    'latchkey login --url https://latchkey.example --scopes read --ttl 86400',
    'latchkey login work --url https://latchkey.example --ca ca.pem --api-key-stdin < key',
  ],
  'latchkey logout': ['latchkey logout', 'latchkey logout work'],
  'latchkey profile list': ['latchkey profile list'],
  'latchkey profile use': ['latchkey profile use work'],
  'latchkey vm list': ['latchkey vm list', 'latchkey vm list --label tier=web --state online'],
  'latchkey vm create': [
    'latchkey vm create web-1 --as smbios -o credential',
    'latchkey vm create web-1 --account ubuntu --independent --label tier=web -o seed --wait',
  ],
  'latchkey vm remove': ['latchkey vm remove web-1'],
  'latchkey vm show': ['latchkey vm show web-1', 'latchkey vm show web-1 --json'],
  'latchkey vm check': ['latchkey vm check web-1'],
  'latchkey vm label': ['latchkey vm label web-1 tier=web rack-', 'latchkey vm label web-1'],
  'latchkey vm owner': ['latchkey vm owner web-1 ada@example.org', 'latchkey vm owner web-1 --none'],
  'latchkey vm unquarantine': ['latchkey vm unquarantine web-1 --verify totp'],
  'latchkey vm watch': ['latchkey vm watch', 'latchkey vm watch web-1 --json'],
  'latchkey reset': [
    'latchkey reset web-1',
    'latchkey reset web-1 --vnc --grace 300',
    'latchkey reset web-1 --account deploy --yes --json --reveal --key-file deployer.jwk',
  ],
  'latchkey vnc reset': ['latchkey vnc reset web-1', 'latchkey vnc reset web-1 --server tigervnc:5901'],
  'latchkey op list': ['latchkey op list', 'latchkey op list --vm web-1 --state FAILED'],
  'latchkey op show': ['latchkey op show OP'],
  'latchkey op watch': ['latchkey op watch OP', 'latchkey op watch OP --json --reveal'],
  'latchkey op approve': ['latchkey op approve OP'],
  'latchkey op cancel': ['latchkey op cancel OP'],
  'latchkey bulk list': ['latchkey bulk list'],
  'latchkey bulk watch': ['latchkey bulk watch BULK'],
  'latchkey bulk stop': ['latchkey bulk stop BULK'],
  'latchkey token create': [
    'latchkey token create --name web-1',
    'latchkey token create --uses 50 --ttl 604800 --as nocloud --output seed',
  ],
  'latchkey token list': ['latchkey token list'],
  'latchkey token revoke': ['latchkey token revoke TOKEN'],
  'latchkey webhook create': [
    'latchkey webhook create https://hooks.example/latchkey',
    'latchkey webhook create https://hooks.example/latchkey --events operation.state,vm.flag',
  ],
  'latchkey webhook list': ['latchkey webhook list'],
  'latchkey webhook remove': ['latchkey webhook remove WEBHOOK'],
  'latchkey webhook test': ['latchkey webhook test WEBHOOK'],
  'latchkey webhook deliveries': ['latchkey webhook deliveries WEBHOOK --state dead'],
  'latchkey webhook redeliver': ['latchkey webhook redeliver WEBHOOK MESSAGE'],
  'latchkey operator invite': ['latchkey operator invite dan --email dan@example.org --role operator'],
  'latchkey operator add': [
    'latchkey operator add ada',
    'latchkey operator add ada --email ada@example.org',
    'latchkey operator add deployer --generate-key deployer.jwk',
  ],
  'latchkey operator export': ['latchkey operator export --output operators.json'],
  'latchkey operator recover': ['latchkey operator recover ada'],
  'latchkey operator policy': ['latchkey operator policy --methods passkey,key --second-person on'],
  'latchkey operator list': ['latchkey operator list'],
  'latchkey trust export': ['latchkey trust export --output trust.json'],
  'latchkey project list': ['latchkey project list'],
  'latchkey project create': ['latchkey project create shop'],
  'latchkey project members': ['latchkey project members shop'],
  'latchkey project join': ['latchkey project join shop ada --role operator'],
  'latchkey project leave': ['latchkey project leave shop ada'],
  'latchkey api-key create': ['latchkey api-key create --name dashboard --scopes read --ttl 604800'],
  'latchkey api-key list': ['latchkey api-key list'],
  'latchkey api-key revoke': ['latchkey api-key revoke KEY'],
  'latchkey keys show': ['latchkey keys show'],
  'latchkey keys export': ['latchkey keys export --output root.json'],
  'latchkey keys rotate': ['latchkey keys rotate command'],
  'latchkey keys publish': ['latchkey keys publish draft.json'],
  'latchkey keys init': ['latchkey keys init root-1.json'],
  'latchkey keys ceremony draft': ['latchkey keys ceremony draft --root root.json --output draft.json'],
  'latchkey keys ceremony sign': ['latchkey keys ceremony sign draft.json --key root-1.json'],
  'latchkey keys ceremony check': ['latchkey keys ceremony check draft.json --root root.json'],
  'latchkey audit list': ['latchkey audit list --op OP', 'latchkey audit list --since 2026-01-31T12:00:00Z --json'],
  'latchkey audit export': ['latchkey audit export --output audit.jsonl'],
  'latchkey audit verify': ['latchkey audit verify --export audit.jsonl --root trust.json'],
  'latchkey migrate': ['latchkey migrate --dry-run', 'latchkey migrate'],
  'latchkey backup': ['latchkey backup /srv/backup/latchkey'],
  'latchkey doctor': ['latchkey doctor --json'],
  'latchkey completion': [
    'latchkey completion bash > ~/.local/share/bash-completion/completions/latchkey',
    'latchkey completion fish > ~/.config/fish/completions/latchkey.fish',
  ],
  'latchkey man': ['latchkey man > latchkey.1'],
};

export function examplesOf(path: string): readonly string[] {
  return examples[path] ?? [];
}

export const explained: readonly string[] = Object.keys(examples);

/** Once all commands are there. */
export function showExamples(program: Command): void {
  for (const { path, command } of leavesOf(program)) {
    const lines = examplesOf(path).map((example) => `  ${example}`);
    if (lines.length > 0) command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
  }
}
