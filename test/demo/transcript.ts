// What the demo prints: a readable transcript, or one JSON object a line. Passwords appear in neither but where they were
// asked for.

import type { OperationView } from '../../control-plane/api/schemas.ts';
import type { ResetSummary } from '../../control-plane/cli/reset/request.ts';
import type { OpenedSecrets } from '../../control-plane/cli/reset/secrets.ts';
import { doneJson, endingLines, revealed, secretLines } from '../../control-plane/cli/view/outcome.ts';
import { jsonProgress, type ProgressView, plainProgress } from '../../control-plane/cli/view/progress.ts';
import { summaryText } from '../../control-plane/cli/view/summary.ts';

export type SignIn = Readonly<{ url: string; operator: string; totpUri: string; apiKeyFile: string; guest: string }>;

export type Transcript = Readonly<{
  step(event: string, text: string, facts?: Readonly<Record<string, unknown>>): void;
  summary(summary: ResetSummary): void;
  progress(view: OperationView): void;
  done(view: OperationView, secrets: OpenedSecrets): void;
  stays(signIn: SignIn): void;
}>;

export function plainTranscript(): Transcript {
  let steps: ProgressView | undefined;
  return {
    step: (_event, text) => console.log(`\n▸ ${text}`),
    summary(summary) {
      const { title, facts, costs } = summaryText(summary);
      console.log(`\n▸ ${title}`);
      for (const line of [...facts, ...costs]) console.log(`    ${line}`);
    },
    progress(view) {
      steps ??= plainProgress();
      steps.show(view);
    },
    done(view, secrets) {
      steps?.close();
      console.log('');
      for (const line of [...endingLines(view), ...secretLines(view, secrets)]) console.log(`  ${line}`);
    },
    stays(signIn) {
      for (const line of stayingLines(signIn)) console.log(line);
    },
  };
}

/** One object a line; the last before it stays up, or ends, is the `done` one. */
export function jsonTranscript({ reveal }: { reveal: boolean }): Transcript {
  const write = (value: object) => console.log(JSON.stringify(value));
  const steps = jsonProgress();
  return {
    step: (event, _text, facts = {}) => write({ event, ...facts }),
    summary: ({ warnings, ready }) =>
      write({ event: 'summary', account: ready?.account ?? null, vnc: ready?.vnc ?? [], warnings }),
    progress: (view) => steps.show(view),
    done: (view, secrets) =>
      write({ ...doneJson(view, 'done'), ...(reveal ? { secrets: revealed(view, secrets) } : {}) }),
    stays: () => {},
  };
}

function stayingLines({ url, operator, totpUri, apiKeyFile, guest }: SignIn): string[] {
  return [
    '',
    `▸ Latchkey stays up at ${url} (the API; its contract is in control-plane/api). Sign-in:`,
    `    operator       ${operator}, with the API key in ${apiKeyFile}`,
    `    authenticator  ${totpUri}`,
    '',
    '  Go on in another terminal:',
    `    export LATCHKEY_URL=${url} LATCHKEY_API_KEY_FILE=${apiKeyFile}`,
    '    npm run -s latchkey -- vm list',
    `    npm run -s latchkey -- reset ${guest} --vnc`,
    '',
    '  Ctrl-C takes everything down and leaves nothing behind.',
  ];
}
