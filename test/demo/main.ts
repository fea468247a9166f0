// `npm run demo`: a control plane, one guest, one whole reset, and then both stay up to be tried. Everything is the product
// itself; only the machine is the lab's. Ctrl-C takes it all down and leaves nothing behind.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { URI } from 'otpauth';
import type { OperationView } from '../../control-plane/api/schemas.ts';
import { exitCodeOfError, exitCodeOfState } from '../../control-plane/cli/exit-codes.ts';
import type { ResetObserver } from '../../control-plane/cli/reset/request.ts';
import { runReset } from '../../control-plane/cli/reset/reset.ts';
import { letGo, openSecrets } from '../../control-plane/cli/reset/secrets.ts';
import { errorLine } from '../../control-plane/cli/view/text.ts';
import { Failure } from '../../protocol/failure.ts';
import { ControlPlane } from '../lab/control-plane.ts';
import { destroyAll } from '../lab/guest.ts';
import { LabUnavailable } from '../lab/requirements.ts';
import { findVncService, VNC_PORT } from '../lab/services.ts';
import { jsonTranscript, plainTranscript, type Transcript } from './transcript.ts';

const USAGE = 'usage: npm run demo -- [--once] [--json] [--reveal]';
const OPERATOR = 'demo';
const GUEST = 'demo-vm';

type Operator = Readonly<{ totpUri: string; apiKey: string }>;

async function main(): Promise<number> {
  const { once, json, reveal } = readOptions();
  const transcript = json ? jsonTranscript({ reveal }) : plainTranscript();
  const stopped = new Promise<number>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(130));
  });
  // Everything that the demo makes, and all that it starts makes, lies in one folder that goes with it.
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-demo-'));
  // As for the folder of a control plane that root starts.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = folder;
  let controlPlane: ControlPlane | undefined;
  const run = async () => {
    transcript.step('starting', 'Starting the control plane: gateway, signer and API, with a new data folder');
    controlPlane = await ControlPlane.start();
    const { view, operator } = await demonstrate(controlPlane, transcript);
    if (once) return exitCodeOfState(view.state);
    const apiKeyFile = join(controlPlane.folder, `${OPERATOR}.api-key`);
    writeFileSync(apiKeyFile, operator.apiKey, { mode: 0o600 });
    const url = `http://localhost:${controlPlane.port}`;
    transcript.stays({ url, operator: OPERATOR, apiKeyFile, totpUri: operator.totpUri, guest: GUEST });
    return stopped;
  };
  try {
    return await Promise.race([run(), stopped]);
  } finally {
    await destroyAll();
    await controlPlane?.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
}

function readOptions(): { once: boolean; json: boolean; reveal: boolean } {
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({ options: { once: flag, json: flag, reveal: flag } }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

/** The whole story: an operator, a machine that enrols by itself, and a reset that is proven after the reboot. */
async function demonstrate(
  controlPlane: ControlPlane,
  transcript: Transcript,
): Promise<{ view: OperationView; operator: Operator }> {
  transcript.step(
    'operator',
    `Adding the operator ${OPERATOR} with an authenticator: latchkey operator add ${OPERATOR} --totp`,
  );
  const operator = await controlPlane.must<Operator>(['operator', 'add', OPERATOR, '--totp']);
  const vnc = findVncService() !== undefined;
  if (!vnc) {
    transcript.step(
      'vnc_absent',
      'No Xvnc on this machine, so the guest has no VNC server. To have one: apt-get install tigervnc-standalone-server',
    );
  }
  transcript.step('booting', `Booting the guest ${GUEST}; its agent enrols with a join token that works once`);
  const guest = await controlPlane.attach({ name: GUEST });
  await guest.boot();
  const vm = await controlPlane.untilOnline(GUEST);
  transcript.step('online', `${vm.name} is online as ${vm.agent}`, { vm: vm.id, agent: vm.agent });
  // A booted machine's VNC server needs a moment more; an operator would look at it later than this program does.
  if (vnc) await guest.untilListening(VNC_PORT);
  const client = controlPlane.client(operator.apiKey);
  const { operation } = await runReset(
    client,
    {
      vm: GUEST,
      account: { name: null, mode: 'generated', unlock: false },
      ...(vnc ? { vnc: { server: null, mode: 'generated', restart: false } } : {}),
      graceS: 0,
      waitWhileOverdue: true,
    },
    observe(transcript, operator),
  );
  transcript.done(operation, await openSecrets(client, operation));
  await letGo(client, operation);
  return { view: operation, operator };
}

/** The operator's part: confirms what is shown and enters the authenticator's present code. */
function observe(transcript: Transcript, { totpUri }: Operator): ResetObserver {
  return {
    onEvent(event) {
      if (event.event === 'progress') transcript.progress(event.operation);
    },
    async confirm(summary) {
      transcript.summary(summary);
      return true;
    },
    async prove() {
      transcript.step(
        'proof',
        'The operator enters the code of the authenticator; it covers exactly this reset and works once',
      );
      return { method: 'totp', code: (URI.parse(totpUri) as import('otpauth').TOTP).generate() };
    },
    typedSecret: () => Promise.reject(new Failure('INTERNAL', { reason: 'nothing is typed in the demo' })),
    retryProof: false,
  };
}

try {
  process.exit(await main());
} catch (error) {
  if (error instanceof LabUnavailable) {
    console.error(`demo: ${error.message}`);
    process.exit(1);
  }
  if (!(error instanceof Failure)) throw error;
  console.error(errorLine(error));
  process.exit(exitCodeOfError(error));
}
