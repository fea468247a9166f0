// Every step by which somebody comes from bytes to an act, and the tests near each of these files, in which the absence of a
// step must show.

import type { Mutation } from './mutation.ts';
import { environmentSteps } from './steps-environment.ts';
import { executorSteps } from './steps-executor.ts';
import { gatewaySteps } from './steps-gateway.ts';
import { linkSteps } from './steps-link.ts';
import { rootSteps } from './steps-root.ts';
import { signerSteps } from './steps-signer.ts';

const named = (who: string, steps: readonly Mutation[]): readonly Mutation[] =>
  steps.map((mutation) => ({ ...mutation, step: `${who} / ${mutation.step}` }));

/** In the order in which they are met: by the executor, and by those around it. */
export const steps: readonly Mutation[] = [
  ...named('executor', executorSteps),
  ...named('executor', environmentSteps),
  ...named('root', rootSteps),
  ...named('link', linkSteps),
  ...named('gateway', gatewaySteps),
  ...named('signer', signerSteps),
];

const inFolder = (folder: string, ...names: readonly string[]) => names.map((name) => `${folder}/${name}.test.ts`);
const protocol = (...names: readonly string[]) => inFolder('test/protocol', ...names);
const executor = (...names: readonly string[]) => inFolder('test/agent/executor', ...names);
const link = (...names: readonly string[]) => inFolder('test/agent/link', ...names);
const gateway = (...names: readonly string[]) => inFolder('test/control-plane/gateway', ...names);

const tokens = protocol('token', 'token-properties', 'canonical', 'vectors');
const accounts = executor('refusals', 'reset', 'preflight', 'operator-proof', 'trouble-reboot');
const operatorProofs = executor('operator-proof');
const greetings = link('handshake', 'greeting-properties', 'roots', 'channel', 'enrol');
const transport = link('handshake', 'tls');
const hellos = gateway('handshake', 'held', 'channel');
const inSigner = (...names: readonly string[]) => inFolder('test/control-plane/signer', ...names);
const signer = inSigner('signer', 'factors', 'policy', 'release', 'limits');

export const testsOf: Readonly<Record<string, readonly string[]>> = {
  'protocol/token.ts': tokens,
  'protocol/canonical.ts': tokens,
  'protocol/root.ts': [...protocol('root'), 'test/agent/core/authorise.test.ts'],
  'protocol/seal.ts': protocol('seal'),
  'protocol/password.ts': protocol('password'),
  'protocol/assertion.ts': operatorProofs,
  'agent/root-shelf.ts': ['test/agent/root-shelf.test.ts'],
  'agent/core/authorise.ts': ['test/agent/core/authorise.test.ts', ...executor('cancel')],
  'agent/core/environment.ts': ['test/agent/core/environment.test.ts'],
  'agent/executor/accept.ts': accounts,
  'agent/executor/conditions.ts': accounts,
  'agent/executor/operator-proof.ts': operatorProofs,
  'agent/executor/cancel.ts': executor('cancel'),
  'agent/executor/prepare.ts': executor('refusals'),
  'agent/executor/session.ts': executor('reset', 'cancel'),
  'agent/executor/run.ts': executor('grace'),
  'agent/executor/effects.ts': executor('trouble', 'trouble-reboot', 'account-words', 'reset'),
  'agent/link/handshake.ts': greetings,
  'agent/link/enrol.ts': link('enrol'),
  'agent/link/join-token.ts': ['test/agent/link/join-token.test.ts'],
  'agent/link/socket.ts': transport,
  'agent/link/link.ts': link('link'),
  'agent/link/executor-desk.ts': link('link'),
  'control-plane/core/enrolment.ts': ['test/control-plane/core/enrolment.test.ts'],
  'control-plane/core/receive.ts': ['test/control-plane/core/receive.test.ts'],
  'control-plane/gateway/endpoint.ts': gateway('handshake', 'transport'),
  'control-plane/gateway/agent-socket.ts': gateway('handshake'),
  'control-plane/gateway/handshake.ts': hellos,
  'control-plane/gateway/gateway.ts': gateway('handshake', 'twins'),
  'control-plane/gateway/enrolment.ts': [...gateway('enrolment'), 'test/control-plane/api/provisioning.test.ts'],
  'control-plane/gateway/intake.ts': gateway('receipts', 'dispatch'),
  'control-plane/signer/proofs.ts': signer,
  'control-plane/signer/intents.ts': signer,
  'control-plane/signer/allowed.ts': signer,
  'control-plane/signer/commands.ts': [...inSigner('buying', 'initialise', 'lists'), ...signer],
  'control-plane/signer/ledger.ts': inSigner('lists'),
  'control-plane/signer/passkeys.ts': signer,
  'control-plane/signer/challenges.ts': signer,
  'control-plane/signer/limits.ts': inSigner('limits'),
  'control-plane/signer/seen.ts': inSigner('seen'),
};
