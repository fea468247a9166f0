// What the signer checks before it believes a proof, and before it uses the command key.

import { change, drop, type Mutation } from './mutation.ts';

const PROOFS = 'control-plane/signer/proofs.ts';
const INTENTS = 'control-plane/signer/intents.ts';
const ALLOWED = 'control-plane/signer/allowed.ts';
const COMMANDS = 'control-plane/signer/commands.ts';
const LEDGER = 'control-plane/signer/ledger.ts';
const PASSKEYS = 'control-plane/signer/passkeys.ts';
const LIMITS = 'control-plane/signer/limits.ts';
const SEEN = 'control-plane/signer/seen.ts';
const CHALLENGES = 'control-plane/signer/challenges.ts';

export const signerSteps: readonly Mutation[] = [
  // When, and for which machine.
  drop(
    'command: a reset not before its time',
    COMMANDS,
    "if ((intent.not_before ?? 0) > nowS()) throw new Failure('NOT_YET_VALID', { reason: 'intent' });",
  ),
  change(
    'command: first passwords for the machine of that join token',
    COMMANDS,
    'joinOf(ledger, agent) !== intent.join_sha256',
    'false',
  ),
  // Whose turn it is.
  drop(
    'proof: of an operation that is not void',
    INTENTS,
    'if (code !== null) throw new Failure(code, { void: true });',
  ),
  drop('proof: tries that are left', INTENTS, "if (tries >= TRIES_MAX) throw new Failure('FACTOR_LOCKED');"),
  change('proof: once', PROOFS, 'if (as === null) {', 'if (false) {'),
  change(
    'proof: that it is proven is told to those who proved it',
    PROOFS,
    'throw isTheirs\n      ?',
    'throw true\n      ?',
  ),
  drop(
    'proof: by the operator of the intent',
    PROOFS,
    "if (as === 'first' && intent.operator !== operator) throw new Failure('AUTHZ_INVALID', { reason: 'operator' });",
  ),
  drop(
    'proof: the second one by somebody else',
    PROOFS,
    "if (as === 'second' && intent.operator === operator) throw new Failure('AUTHZ_INVALID', { reason: 'same_person' });",
  ),
  drop(
    'proof: of the newest intent',
    PROOFS,
    "if (intent.hash !== hash) throw voidOperation(parts, intent, operator, { method: null, reason: 'intent' });",
  ),
  drop(
    'proof: of an intent not past its end',
    PROOFS,
    "if (nowS() > intent.not_after) throw new Failure('EXPIRED', { reason: 'intent' });\n  demandPatience",
  ),
  drop(
    'proof: wrong codes in a row',
    PROOFS,
    "if (consecutive >= FAILURES_MAX) throw new Failure('FACTOR_LOCKED', { reason: 'operator' });",
  ),
  drop(
    'proof: patience after wrong codes',
    PROOFS,
    "if (left > 0 && last_at <= now) throw new Failure('RATE_LIMITED', { wait_s: left });",
  ),
  // By what.
  change(
    'factor: that the policy names',
    ALLOWED,
    'factors.filter(({ kind }) => methods.includes(kind))',
    '[...factors]',
  ),
  change(
    'factor: that machines know, where they check',
    ALLOWED,
    "root.policy.require_operator_proof && as === 'first'",
    'false',
  ),
  change('factor: a key that the root lists', ALLOWED, 'known.keys.some((key) => key.x === x)', 'true'),
  change('factor: a passkey that the root lists', ALLOWED, 'listed.x === x && listed.y === y', 'true'),
  change(
    'code: not one that was used',
    PROOFS,
    "if (step <= factor.last_step) return { is: 'mistaken', reason: 'reused' };",
    '',
  ),
  drop('code: spent', PROOFS, 'setLastStep(ledger, factor, step);'),
  drop('code: of this time', PROOFS, "if (step === null) return { is: 'mistaken' };"),
  change('mailed code: of this intent', PROOFS, '!sent || sent.intent_hash !== hash', '!sent'),
  drop(
    'mailed code: not past its end',
    PROOFS,
    "if (nowS() > sent.expires_at) return { is: 'mistaken', reason: 'expired' };",
  ),
  drop(
    'mailed code: the right one',
    PROOFS,
    "if (!equalText(sent.code_sha256, mailCodeHash(hash, code))) return { is: 'mistaken' };",
  ),
  drop('mailed code: spent', PROOFS, 'deleteMailCode(ledger, op, operator);'),
  drop(
    'recovery code: one that there is',
    PROOFS,
    "if (!candidates.some((factor) => equalText(factor.kid, kid))) return { is: 'mistaken' };",
  ),
  drop('recovery code: spent', PROOFS, "deleteFactors(parts.ledger, operator, 'recovery', kid);"),
  drop('key: registered', PROOFS, "if (!factor) return { is: 'void', reason: 'key' };"),
  drop(
    'key: its signature',
    PROOFS,
    "if (!(await keySigned(factor, intent.hash, proof.sig))) return { is: 'void', reason: 'signature' };",
  ),
  drop('passkey: registered', PROOFS, "if (!factor) return { is: 'void', reason: 'credential' };"),
  change(
    'passkey: its assertion',
    PROOFS,
    "return { is: 'void', reason: 'assertion' };",
    "return { is: 'good', kept: null, burn: () => undefined };",
  ),
  change(
    'passkey: a user verified when it is registered',
    PASSKEYS,
    '      requireUserVerification: true,\n      supportedAlgorithmIDs',
    '      requireUserVerification: false,\n      supportedAlgorithmIDs',
  ),
  change(
    'passkey: its invitation',
    CHALLENGES,
    '!found || found.operator !== operator || nowS() > found.expires_at',
    '!found',
  ),
  change('passkey: its invitation not past its end', CHALLENGES, ' || nowS() > found.expires_at', ''),
  drop('passkey: its invitation spent', CHALLENGES, 'deleteEnrolment(ledger, sha256);'),
  drop('mailed code: as many as may be', CHALLENGES, "throw new Failure('RATE_LIMITED', { reason: 'mails' });"),
  // The command.
  change(
    'command: of this intent',
    COMMANDS,
    'stored?.hash !== hash || stored.proven_at === null',
    '!stored || stored.proven_at === null',
  ),
  change(
    'command: of a proven intent',
    COMMANDS,
    'stored?.hash !== hash || stored.proven_at === null',
    'stored?.hash !== hash',
  ),
  drop(
    'command: of an operation that is not void',
    COMMANDS,
    'if (stored.void !== null) throw new Failure(stored.void, { void: true });',
  ),
  drop(
    'command: both persons have proven it',
    COMMANDS,
    "if (awaited(stored) !== null) throw new Failure('AUTHZ_INVALID', { reason: 'second_person' });",
  ),
  drop(
    'command: of an intent not past its end',
    COMMANDS,
    "if (nowS() > stored.not_after) throw new Failure('EXPIRED', { reason: 'intent' });",
  ),
  drop(
    'command: under a root not past its end',
    COMMANDS,
    "if (nowS() >= root.expires) throw new Failure('ROOT_EXPIRED', { version: root.version });",
  ),
  change('command: for the executor of this operation', COMMANDS, 'ready.op !== op || ', ''),
  change('command: for the executor of this machine', COMMANDS, ' || ready.agent !== agent', ''),
  drop(
    'command: for a machine that the intent names',
    COMMANDS,
    "if (agent === null) throw new Failure('AUTHZ_INVALID', { reason: 'target' });",
  ),
  change(
    'command: of a list, by its own place',
    COMMANDS,
    'intent_sha256: hash, index }',
    'intent_sha256: hash, index: 0 }',
  ),
  change(
    'cancel: of a list, for a machine that was commanded',
    LEDGER,
    '(agent = ? OR agent IS NULL)',
    '(? IS NOT NULL)',
  ),
  drop(
    'command: not without end',
    COMMANDS,
    "if (before >= COMMANDS_MAX) throw new Failure('OP_CONFLICT', { reason: 'signed_too_often' });",
  ),
  drop(
    'command: one a nonce',
    COMMANDS,
    "if (ledger.nonceUsed(ready.cn)) throw new Failure('NONCE_UNKNOWN', { reason: 'used' });",
  ),
  drop(
    'command: passwords to set',
    COMMANDS,
    "if (!['reset', 'initialise'].includes(String(actOf(bytes)))) throw new Failure('AUTHZ_INVALID', { reason: 'act' });",
  ),
  change(
    'command: the sealed secrets that were proven',
    COMMANDS,
    'if ((given === undefined ? null : await sha256Text(given)) !== wanted) {',
    'if (false) {',
  ),
  // Once proven, an intent stays as it is.
  drop(
    'intent: none in the place of a proven one',
    INTENTS,
    "if (before?.proven_at != null) throw new Failure('STATE_CONFLICT', { reason: 'proven' });",
  ),
  drop('intent: none in the place of a void one', INTENTS, 'if (before) demandLiving(before);'),
  // Not more than anybody needs, and nothing of machines that they did not sign.
  change('limits: of each', LIMITS, "count('use = ? AND subject = ?', use, subject) >= each || ", ''),
  change('limits: of all together', LIMITS, " || count('use = ?', use) >= all", ''),
  change('limits: a command counts', COMMANDS, "spend(ledger, 'signature', agent, iat);", ''),
  drop('seen: one key a machine', SEEN, "if (known) throw new Failure('ALREADY_EXISTS', { agent });"),
  change(
    'seen: receipts of that machine’s own key',
    SEEN,
    "await verifyToken(token, 'lk-receipt+jws', onlyKey(await thumbprint(ek), ek));",
    '{ payload: payloadOf(token), payloadSha256: String(token.length) };',
  ),
  drop('seen: receipts of a command that was signed here', SEEN, 'demandCommanded(ledger, receipt);'),
  change('seen: by a refusal of its nonce alone', SEEN, "n === 1 && state === 'REFUSED' && ", ''),
  drop(
    'seen: receipts not without end',
    SEEN,
    "if (n > RECEIPTS_MAX) throw new Failure('AUTHZ_INVALID', { reason: 'too_many', op, n });",
  ),
  change('seen: receipts without a gap', SEEN, "if (n > next) return 'gap';", ''),
  change('seen: receipts in their chain', SEEN, ' && prev === (last?.sha256 ?? RECEIPT_GENESIS)', ''),
];
