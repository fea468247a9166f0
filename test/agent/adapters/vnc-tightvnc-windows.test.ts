// TightVNC on Windows by the same contract as on Linux: the registry is a script's answers, the server a small one that
// speaks RFB on loopback.

import { deepEqual, equal, fail } from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tightvncScripts, vncTightvncWindows } from '../../../agent/adapters/vnc-tightvnc-windows.ts';
import { answerChallenge, deobfuscate, obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Processes } from '../../../agent/ports/process.ts';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret } from '../contracts/contract.ts';
import { vncRules } from '../contracts/vnc.ts';
import type { VncSetting, VncSubject } from '../contracts/vnc-subject.ts';
import {
  answerOf,
  assertNotSeen,
  assertPlain,
  HOST,
  inputOf,
  noProcesses,
  scriptOf,
} from '../windows/processes-scripted.ts';

const PROGRAM = 'C:\\Program Files\\TightVNC\\tvnserver.exe';
const MAC_KEY = new Uint8Array(32).fill(3);

/** What is stored, and what the running server goes by. */
const state = {
  setting: 'none' as VncSetting,
  running: false,
  stored: null as Uint8Array | null,
  inForce: null as Uint8Array | null,
  reload: 'works' as 'works' | 'hangs',
  loopback: true,
  answer: null as string | null,
  secrets: [] as Secret[],
};

let server: Server;
let port = 0;

beforeAll(async () => {
  server = createServer((socket) => {
    const challenge = Buffer.alloc(16, 0x3c);
    const open = state.setting === 'open';
    let step = 0;
    let heard: Buffer = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      if (step === 0 && heard.length >= 12) {
        step = 1;
        heard = heard.subarray(12);
        socket.write(Buffer.from([1, open ? 1 : 2]));
      }
      if (step === 1 && heard.length >= 1) {
        step = 2;
        heard = heard.subarray(1);
        socket.write(challenge);
      }
      if (step === 2 && heard.length >= 16) {
        step = 3;
        const right = state.inForce && deobfuscate(state.inForce);
        const accepted = right && heard.subarray(0, 16).equals(answerChallenge(challenge, right));
        if (accepted) socket.write(Buffer.alloc(4));
        else socket.end(Buffer.from([0, 0, 0, 1, 0, 0, 0, 4, ...Buffer.from('nope')]));
      }
    });
    socket.write('RFB 003.008\n');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  port = typeof address === 'object' && address ? address.port : 0;
});
afterAll(() => void server.close());

const processes: Processes = {
  ...noProcesses,
  run: async (program, input) => {
    assertNotSeen(program, state.secrets);
    assertPlain(program);
    if (program.program === PROGRAM) {
      deepEqual([program.args, input.length], [['-controlservice', '-reload'], 0]);
      if (state.reload === 'hangs') return { ending: 'timeout', status: null, output: Buffer.alloc(0) };
      state.inForce = state.stored;
      return { ending: 'exited', status: 0, output: Buffer.alloc(0) };
    }
    const script = scriptOf(program);
    const { request, secret } = inputOf(input);
    deepEqual(request, {});
    return {
      ending: 'exited',
      status: 0,
      output: state.answer === null ? answer(script, secret) : Buffer.from(state.answer),
    };
  },
};

function answer(script: string, secret: Buffer | null): Buffer {
  if (script.endsWith(tightvncScripts.WRITE)) {
    equal(secret?.length, 8);
    state.stored = Uint8Array.from(secret ?? []);
    return answerOf({ written: true });
  }
  equal(secret, null);
  if (script.endsWith(tightvncScripts.READ))
    return answerOf({ there: state.stored !== null }, state.stored ?? undefined);
  if (!script.endsWith(tightvncScripts.LIST)) fail('an unknown script');
  const { running, loopback, setting } = state;
  const settings = setting === 'none' ? null : { port, asks: setting !== 'open', loopback };
  return answerOf({ running, program: running ? PROGRAM : null, ports: running ? [port, port + 100] : [], settings });
}

function subject(): VncSubject {
  return {
    async given(setting) {
      const password = drawSecret();
      const stored = obfuscate(password.revealBytes());
      const running = setting !== 'none';
      Object.assign(state, {
        setting,
        running,
        stored,
        inForce: stored,
        reload: 'works',
        loopback: true,
        answer: null,
      });
      state.secrets = [password, Secret.ofBytes(stored)];
      return { vnc: vncTightvncWindows({ processes, host: HOST, macKey: MAC_KEY, probeTimeoutMs: 3_000 }), password };
    },
    async stop() {
      state.running = false;
    },
    async restart() {
      state.inForce = state.stored;
      state.running = true;
    },
    contentOf: () => fail('there is no file'),
    factsOf: () => fail('there is no file'),
  };
}

describe('TightVNC on Windows keeps the contract, by written exchanges', () => {
  const traits = {
    id: 'tightvnc',
    port: 0,
    kind: 'vncauth',
    ownerUid: 0,
    settings: ['direct', 'open'],
    lockoutAfter: null,
  } as const;
  const titles = vncRules(traits).filter(({ of }) => of !== 'linux');
  for (const { title } of titles) {
    it(title, async () => {
      const rule = vncRules({ ...traits, id: `tightvnc:${port}`, port }).find((each) => each.title === title);
      await (rule ?? fail(title)).run(subject());
    });
  }
});

describe('TightVNC on Windows', () => {
  it('that cannot be told to read its settings has the old password until it starts again', async () => {
    const { vnc, password } = await subject().given('direct');
    state.reload = 'hangs';
    const [found = fail('none')] = await vnc.list();
    const fresh = drawSecret();
    await vnc.setPassword(found, fresh);
    expect((await vnc.probe(found, password)).verdict).toBe('accepted');
    expect((await vnc.probe(found, fresh)).verdict).toBe('rejected');
    await subject().restart();
    expect((await vnc.probeStored(found)).verdict).toBe('accepted');
  });
  it('that lets nobody in from the machine itself is set, and proves nothing', async () => {
    const { vnc } = await subject().given('direct');
    state.loopback = false;
    const [found = fail('none')] = await vnc.list();
    expect(found.port).toBe(null);
    await vnc.setPassword(found, drawSecret());
    expect((await vnc.probeStored(found)).verdict).toBe('unknown');
  });
  it.each(['', 'no JSON\n', '{"running":true}\n', '{"there":true}\n'])(
    'is no server where a script says %j',
    async (text) => {
      const { vnc } = await subject().given('direct');
      state.answer = text;
      await expect(vnc.list()).rejects.toMatchObject({ code: 'VNC_FAILED', details: { reason: 'script_answer' } });
    },
  );
});

it.each(Object.entries(tightvncScripts))(
  'the script %s has no quotation mark for a command line to trip over',
  (_, script) => {
    expect(script).not.toContain('"');
  },
);
