// The contract of the port `Signer`, asked of every adapter: the same questions, whatever holds the key.

import { beforeEach, describe, expect, test } from 'vitest';
import type { Purpose, Signer } from '../../../../control-plane/signer/ports/signer.ts';
import { codeOf } from '../../../../protocol/failure.ts';
import { publicKey, type SigningKey, thumbprint } from '../../../../protocol/keys.ts';
import { onlyKey, signToken, signTokenWith, verifyToken } from '../../../../protocol/token.ts';

/** An adapter with keys in it, to which others can be given, and whose keys can be taken from it. */
export type Subject = Readonly<{
  signer: Signer;
  keys: readonly SigningKey[];
  /** Puts one more key into it while it runs; `null` where that cannot be. */
  add: (() => Promise<SigningKey>) | null;
  /** From now on it cannot sign; `null` where what it has in memory is all there is to it. */
  breakDown: (() => void) | null;
}>;

const bytesOf = (count: number) => Uint8Array.from({ length: count }, (_, n) => n % 251);

export function signerContract(name: string, make: () => Promise<Subject>): void {
  describe(`${name}, as a Signer`, () => {
    let subject: Subject;
    beforeEach(async () => {
      subject = await make();
      await subject.signer.keys();
    });

    const first = () => subject.keys[0] as SigningKey;
    const signerOf = ({ kid }: SigningKey) => ({
      kid,
      sign: (purpose: Purpose, bytes: Uint8Array) => subject.signer.sign(kid, purpose, bytes),
    });
    const holds = async ({ jwk }: SigningKey, sig: Uint8Array, bytes: Uint8Array) =>
      crypto.subtle.verify('Ed25519', await publicKey(jwk), Uint8Array.from(sig), Uint8Array.from(bytes));

    test('answers the public halves of its keys by their thumbprints, each once, and nothing private', async () => {
      const keys = await subject.signer.keys();
      expect(keys.map(({ kid }) => kid).toSorted()).toEqual(subject.keys.map(({ kid }) => kid).toSorted());
      for (const { kid, jwk } of keys) {
        expect(await thumbprint(jwk)).toBe(kid);
        expect(Object.keys(jwk).toSorted()).toEqual(['crv', 'kty', 'x']);
      }
    });

    test.each([0, 1, 1_000, 16_384])('signs exactly the %d bytes that it is given', async (count) => {
      const bytes = bytesOf(count);
      for (const key of subject.keys) {
        const sig = subject.signer.sign(key.kid, 'lk-command+jws', bytes);
        expect(sig).toHaveLength(64);
        expect(await holds(key, sig, bytes)).toBe(true);
        expect(await holds(key, sig, bytesOf(count + 1))).toBe(false);
      }
      expect(bytes).toEqual(bytesOf(count));
    });

    test('makes the very tokens that the key itself would make', async () => {
      const { kid, jwk } = first();
      const token = signTokenWith('lk-command+jws', { v: 1, op: 'x' }, signerOf(first()));
      expect(token).toBe(await signToken('lk-command+jws', { v: 1, op: 'x' }, first()));
      await expect(verifyToken(token, 'lk-command+jws', onlyKey(kid, jwk))).resolves.toMatchObject({ header: { kid } });
    });

    test('signs with no key that it has not, and goes on', () => {
      expect(refusal(() => subject.signer.sign('A'.repeat(43), 'lk-command+jws', bytesOf(8)))).toBe('KID_UNKNOWN');
      expect(subject.signer.sign(first().kid, 'lk-command+jws', bytesOf(8))).toHaveLength(64);
    });

    test('signs for each purpose with the same key', async () => {
      const token = signTokenWith('lk-audit+jws', { v: 1 }, signerOf(first()));
      expect(token).toBe(await signToken('lk-audit+jws', { v: 1 }, first()));
    });

    test('knows a key that was added while it runs, where one can be', async () => {
      if (!subject.add) return expect(subject.keys).toHaveLength(1);
      const added = await subject.add();
      expect((await subject.signer.keys()).map(({ kid }) => kid)).toContain(added.kid);
      expect(await holds(added, subject.signer.sign(added.kid, 'lk-command+jws', bytesOf(9)), bytesOf(9))).toBe(true);
    });

    test('that cannot sign says so, where it can come to that', () => {
      if (!subject.breakDown)
        return expect(subject.signer.sign(first().kid, 'lk-command+jws', bytesOf(8))).toHaveLength(64);
      subject.breakDown();
      expect(refusal(() => subject.signer.sign(first().kid, 'lk-command+jws', bytesOf(8)))).toBe('KEY_UNAVAILABLE');
    });
  });
}

function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}
