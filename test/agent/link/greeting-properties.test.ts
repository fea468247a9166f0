// Greetings over many connections, with whatever a control plane that has the session key says: what a link has once stored of
// counter and time never goes down.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { greet } from '../../../agent/link/handshake.ts';
import type { Progress } from '../../../agent/link/identity.ts';
import type { ControlPlaneSocket } from '../../../agent/link/socket.ts';
import { WELCOME_ROUND_TRIP_MS_MAX } from '../../../protocol/limits.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { type DownFrame, hello as helloSchema, type UpFrame } from '../../../protocol/session.ts';
import { payloadOf, signToken } from '../../../protocol/token.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { AGENT, BOOT, bytes32Text, countingBytes, keys, NOW_S, sampleRoot } from '../../protocol/samples.ts';

type Said = Readonly<{ counter: number; seconds: number; anotherHello: boolean; tookMs: number }>;

/** The machine's clock: time passes while a welcome is on its way. */
let nowMs = 0;

/** One connection: a challenge, and a welcome that differs from what is stored by so much. */
function connection(stored: Progress, { counter, seconds, anotherHello, tookMs }: Said) {
  const sent: UpFrame[] = [];
  const welcome = async (): Promise<DownFrame> => {
    nowMs += tookMs;
    const hello = sent.find((frame) => frame.t === 'hello');
    const { an } = parseSchema(helloSchema, payloadOf(hello?.token ?? ''));
    const [now, ctr] = [Math.max(0, stored.now + seconds), Math.max(0, stored.ctr + counter)];
    const said = { v: 1, agent: AGENT, an: anotherHello ? bytes32Text(9) : an, sid: bytes32Text(1), version: 1, now };
    return { t: 'welcome', token: await signToken('lk-welcome+jws', { ...said, min_root: 1, ctr }, keys.session) };
  };
  const next = async () => (sent.length === 0 ? { t: 'challenge', sn: bytes32Text(2) } : welcome());
  const socket = { channelBinding: null, next, send: (frame: UpFrame) => sent.push(frame) > 0 };
  return { socket: socket as unknown as ControlPlaneSocket, sent };
}

const said: fc.Arbitrary<Said> = fc.record({
  counter: fc.oneof(
    { weight: 3, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
  ),
  seconds: fc.integer({ min: -50, max: 100 }),
  anotherHello: fc.constantFrom(true, false, false, false),
  tookMs: fc.constantFrom(0, 0, 0, WELCOME_ROUND_TRIP_MS_MAX, WELCOME_ROUND_TRIP_MS_MAX + 1),
});

function faultOf({ counter, seconds, anotherHello, tookMs }: Said): string | undefined {
  if (anotherHello) return 'NONCE_UNKNOWN';
  if (counter !== 1 || seconds < 0) return 'STATE_ROLLED_BACK';
  return tookMs > WELCOME_ROUND_TRIP_MS_MAX ? 'EXPIRED' : undefined;
}

test('whatever welcomes come, counter and time are stored in order, and a counter is counted only once it is stored', async () => {
  const heights: number[] = [];
  await fc.assert(
    fc.asyncProperty(fc.array(said, { maxLength: 12 }), async (welcomes) => {
      let stored: Progress = { ctr: 0, now: NOW_S };
      for (const each of welcomes) {
        const { socket, sent } = connection(stored, each);
        const before = stored;
        const code = await codeFrom(() =>
          greet(socket, {
            identity: { agent: AGENT, project: 'default', ik: keys.ik },
            root: sampleRoot(),
            learn: () => Promise.reject(new Error('no root comes')),
            progress: stored,
            bootId: BOOT,
            journalHead: null,
            agentVersion: '0.0.0',
            random: { bytes: (count) => countingBytes(3, count) },
            monotonicMs: () => nowMs,
            store: async (progress) => {
              stored = progress;
            },
          }).then(({ clock }) => {
            nowMs += 5_500;
            expect(clock.nowS()).toBe(stored.now + 5);
          }),
        );
        const fault = faultOf(each);
        const holds = fault === undefined;
        expect(code).toBe(fault);
        expect(stored.ctr).toBe(before.ctr + (holds ? 1 : 0));
        expect(stored.now).toBeGreaterThanOrEqual(before.now);
        expect(sent.filter(({ t }) => t === 'hello_ok')).toEqual(holds ? [{ t: 'hello_ok', ctr: stored.ctr }] : []);
      }
      heights.push(stored.ctr);
    }),
  );
  expect(Math.max(...heights)).toBeGreaterThan(1);
});
