// What is fuzzed in this process: the very functions that gateway, link and executor call on bytes from elsewhere. Each says
// what it made of an input: refused with a code, or taken, and then it must be one of the real ones.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GENESIS, readChain } from '../../agent/adapters/journal-chain.ts';
import { authoriseWork } from '../../agent/core/authorise.ts';
import { intentBytes, readIntent } from '../../protocol/intent.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { advanceRoot, openRoot, roleKeys, signRoot } from '../../protocol/root.ts';
import { openSecret, type SealContext, sealSecret } from '../../protocol/seal.ts';
import { Secret } from '../../protocol/secret.ts';
import { encodeFrame, parseDownFrame, parseUpFrame } from '../../protocol/session.ts';
import { onlyKey, signToken, type TokenType, tokenTypes, verifyToken } from '../../protocol/token.ts';
import { parseTrust } from '../../protocol/trust.ts';
import { frames, messages } from '../protocol/message-samples.ts';
import {
  AGENT,
  ARTIFICIAL_PASSWORD,
  bytes32Text,
  countingBytes,
  keys,
  OP,
  sampleCommand,
  sampleIntent,
  sampleRoot,
  seal,
} from '../protocol/samples.ts';

export type Target = Readonly<{
  name: string;
  /** Real inputs. */
  corpus: readonly Uint8Array[];
  /** Throws a `Failure` where the input is refused, and `Taken` where something was taken that never was said. */
  run(input: Uint8Array): unknown;
}>;

/** An input that is not a real one was taken for one. */
export class Taken extends Error {}

const utf8 = (input: Uint8Array) => Buffer.from(input).toString('utf8');
const corpusOf = (values: readonly object[]) => values.map((value) => Buffer.from(JSON.stringify(value)));

/** A frame carries no authority: another one than was sent may be taken, and then it must mean exactly what it says. */
function frameTarget(name: string, corpus: readonly object[], parse: (input: Uint8Array) => never): Target {
  return {
    name,
    corpus: corpusOf(corpus),
    run(input) {
      if (encodeFrame(parse(input)) !== utf8(input)) throw new Taken('another spelling');
    },
  };
}

const signerOf = (typ: TokenType) => {
  if (typ === 'lk-command+jws') return keys.command;
  if (['lk-enrolled+jws', 'lk-welcome+jws', 'lk-ack+jws'].includes(typ)) return keys.session;
  if (['lk-enrol+jws', 'lk-hello+jws'].includes(typ)) return keys.ik;
  return typ === 'lk-root+jws' ? keys.rootA : keys.ek;
};
const sampleOf = new Map(messages.map(([name, , value]) => [name, value as object]));
const payloadFor = (typ: TokenType): object => {
  const name = typ.replace(/^lk-|\+jws$/g, '');
  return sampleOf.get(name) ?? { v: 1, typ };
};

async function tokenTarget(typ: TokenType, others: readonly string[]): Promise<Target> {
  const signer = signerOf(typ);
  const real = await signToken(typ, payloadFor(typ), signer);
  return {
    name: `token ${typ}`,
    corpus: [real, ...others].map((token) => Buffer.from(token)),
    async run(input) {
      await verifyToken(utf8(input), typ, onlyKey(signer.kid, signer.jwk));
      if (utf8(input) !== real) throw new Taken('another token');
    },
  };
}

async function commandTarget(): Promise<Target> {
  const [payload, root] = [sampleCommand(), sampleRoot()];
  const real = await signToken('lk-command+jws', payload, keys.command);
  const addressee = { agent: AGENT, project: 'default', root, op: OP, cn: payload.cn, expired: false };
  return {
    name: 'command',
    corpus: [Buffer.from(real)],
    async run(input) {
      const token = await verifyToken(utf8(input), 'lk-command+jws', roleKeys(root, 'command', null));
      authoriseWork(token, addressee);
      if (utf8(input) !== real) throw new Taken('another command');
    },
  };
}

async function rootTarget(): Promise<Target> {
  const current = sampleRoot();
  const next = await signRoot({ ...current, version: 2 }, [keys.rootA, keys.rootB]);
  return {
    name: 'root',
    corpus: corpusOf([next, await signRoot(current, [keys.rootB, keys.rootC])]),
    async run(input) {
      const document: unknown = parsed(input);
      const root = await advanceRoot(current, document).catch(async (error: unknown) => {
        await openRoot(document);
        throw error;
      });
      // Signatures beyond the threshold may come and go; what they sign may not.
      if (JSON.stringify(root) !== JSON.stringify({ ...current, version: 2 })) throw new Taken('another root');
    },
  };
}

async function sealedTarget(): Promise<Target> {
  const context: SealContext = { op: OP, agent: AGENT, dir: 'to-agent', slot: 'account' };
  const real = await sealSecret(Secret.ofText(ARTIFICIAL_PASSWORD), context, seal.jwk, (count) =>
    countingBytes(7, count),
  );
  return {
    name: 'sealed secret',
    corpus: [Buffer.from(real)],
    async run(input) {
      await openSecret(utf8(input), context, seal);
      if (utf8(input) !== real) throw new Taken('another secret');
    },
  };
}

function journalTarget(): Target {
  const path = join(import.meta.dirname, '../fixtures/journals/0.1/open-rebooting.jsonl');
  const real = readFileSync(path);
  const records = readChain(real).records.map((record) => JSON.stringify(record));
  return {
    name: 'journal',
    corpus: [real],
    run(input) {
      const { records: found, head } = readChain(input);
      // The last line may be new, and its predecessors are what the chain holds fast.
      const held = found.slice(0, -1).map((record) => JSON.stringify(record));
      if (held.some((record, at) => record !== records[at])) throw new Taken('another line');
      if (found.length === 0 && head !== GENESIS) throw new Taken('a head of nothing');
    },
  };
}

/** As every reader of a file does it: what is no JSON is that file's fault. */
function parsed(input: Uint8Array): unknown {
  try {
    return JSON.parse(utf8(input));
  } catch {
    return undefined;
  }
}

export async function makeTargets(): Promise<Target[]> {
  const tokens = await Promise.all(tokenTypes.map(async (typ) => signToken(typ, payloadFor(typ), signerOf(typ))));
  const intent = { ...sampleIntent(), nonce: bytes32Text(0x50) };
  return [
    frameTarget('frame from the gateway', frames.down, parseDownFrame as never),
    frameTarget('frame from a link', frames.up, parseUpFrame as never),
    {
      name: 'intent',
      corpus: [Buffer.from(toBase64url(intentBytes(intent)))],
      run(input) {
        if (toBase64url(intentBytes(readIntent(utf8(input)))) !== utf8(input)) throw new Taken('another spelling');
      },
    },
    journalTarget(),
    {
      name: 'trust file',
      corpus: corpusOf([sampleOf.get('trust file') ?? {}]),
      run: (input) => parseTrust(parsed(input)),
    },
    await commandTarget(),
    await rootTarget(),
    await sealedTarget(),
    ...(await Promise.all(tokenTypes.filter((typ) => typ !== 'lk-root+jws').map((typ) => tokenTarget(typ, tokens)))),
  ];
}
