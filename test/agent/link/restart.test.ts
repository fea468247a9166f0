// What a control plane says when it ends: its machines come back spread out over the time that it names.

import { describe, expect, test } from 'vitest';
import { makeSite, until } from './site.ts';

type Waited = Readonly<{ msg: string; delayMs: number; restartWithinMs: number | null }>;

/** What the link does after its connection was closed in that way; its random numbers come to the given part of their range. */
async function afterClose(code: number, reason: string, byte: number): Promise<Waited> {
  const site = await makeSite({ parts: { random: { bytes: (count) => new Uint8Array(count).fill(byte) } } });
  const visitor = await site.connected();
  visitor.close(code, reason);
  const waited = () =>
    site.log.map((line) => JSON.parse(line) as Waited).find(({ msg }) => msg === 'connects again later');
  await until(() => waited() !== undefined);
  return waited() as Waited;
}

describe.concurrent('a connection closed', () => {
  test('with 1012 and a time is made again somewhere within it', async () => {
    expect(await afterClose(1012, '40000', 128)).toMatchObject({ restartWithinMs: 40_000, delayMs: 20_576 });
    expect(await afterClose(1012, '40000', 0)).toMatchObject({ delayMs: 1_000 });
  });

  test.each(['', 'soon', '-5', '1e9', '99999999', '4000 '])('with 1012 and “%s” soon', async (reason) => {
    expect(await afterClose(1012, reason, 255)).toMatchObject({ restartWithinMs: 0, delayMs: 1_000 });
  });

  test('in any other way, after the back-off', async () => {
    const { restartWithinMs, delayMs } = await afterClose(1001, '40000', 255);
    expect(restartWithinMs).toBeNull();
    expect(delayMs).toBeLessThan(2_000);
  });
});
