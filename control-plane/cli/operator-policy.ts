// `latchkey operator policy`: which verification methods count, and whether two people have to approve. The signer keeps and
// enforces it; it is set on its own host, written into its audit, and counts from the next proof on.

import type { Command } from 'commander';
import { type FactorMethod, factorMethods } from '../../protocol/command.ts';
import { pathsIn } from '../config/paths.ts';
import { adminClient } from '../signer/client.ts';
import { onHost, withJson } from './action.ts';
import { dataFolder } from './connection.ts';
import { UsageError } from './prompts.ts';
import { fields, writeJson, writeLine } from './view/text.ts';

type PolicyOptions = Readonly<{ json?: boolean; methods?: string; secondPerson?: string }>;

export function registerPolicy(operator: Command): void {
  const policy = withJson(operator.command('policy'))
    .description('show, or set, how operations have to be verified')
    .option('--methods <list>', `methods that count, with commas between them (${factorMethods.join(',')})`)
    .option('--second-person <on|off>', 'whether another operator has to approve the same');
  onHost<PolicyOptions>(policy, async ({ json, methods, secondPerson }) => {
    const change = {
      ...(methods === undefined ? {} : { methods: methodsOf(methods) }),
      ...(secondPerson === undefined ? {} : { second_person: isOn(secondPerson) }),
    };
    const admin = adminClient(pathsIn(dataFolder()).adminSocket);
    const now = Object.keys(change).length === 0 ? await admin('policy.get', {}) : await admin('policy.set', change);
    if (json) writeJson({ event: 'policy', methods: now.methods, secondPerson: now.second_person });
    else {
      const people = now.second_person ? 'has to approve as well' : 'is not needed';
      writeLine(
        fields([
          ['methods', now.methods.join(', ')],
          ['second person', people],
        ]),
      );
    }
  });
}

function methodsOf(text: string): FactorMethod[] {
  const given = text.split(',');
  const known = factorMethods.filter((method) => given.includes(method));
  if (known.length !== given.length)
    throw new UsageError(`--methods are some of ${factorMethods.join(', ')}, each once`);
  return known;
}

function isOn(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new UsageError('--second-person is on or off');
  return text === 'on';
}
