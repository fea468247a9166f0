// Every step by which an executor comes from bytes to an accepted command, each with the words of the code that take it. To drop
// a step is to put other words there; a test holds each to standing in the code exactly once.

import { change, drop, type Mutation } from './mutation.ts';

const TOKEN = 'protocol/token.ts';
const CANONICAL = 'protocol/canonical.ts';
const ROOT = 'protocol/root.ts';
const SEAL = 'protocol/seal.ts';
const AUTHORISE = 'agent/core/authorise.ts';
const CANCEL = 'agent/executor/cancel.ts';
const PREPARE = 'agent/executor/prepare.ts';
const SESSION = 'agent/executor/session.ts';
const RUN = 'agent/executor/run.ts';
const EFFECTS = 'agent/executor/effects.ts';
const PASSWORD = 'protocol/password.ts';
const ACCEPT = 'agent/executor/accept.ts';
const CONDITIONS = 'agent/executor/conditions.ts';
const ASSERTION = 'protocol/assertion.ts';
const PROOF = 'agent/executor/operator-proof.ts';

/** In the order in which a command meets them. */
export const executorSteps: readonly Mutation[] = [
  // Size and shape, header, type.
  drop('token: size', TOKEN, "if (token.length > sizeMax) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });"),
  change('token: a signature of 86 characters', TOKEN, '[A-Za-z0-9_-]{86}$/', '[A-Za-z0-9_-]+$/'),
  drop(
    'token: unsigned',
    TOKEN,
    "if (/^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.$/.test(token)) throw new Failure('ALG_REFUSED', { reason: 'unsigned' });",
  ),
  drop('token: spelling of the payload', TOKEN, '  fromBase64url(payloadPart);\n'),
  drop('token: spelling of the signature', TOKEN, '  fromBase64url(signaturePart);\n'),
  drop('token: algorithm', TOKEN, "if (header['alg'] !== 'Ed25519') throw new Failure('ALG_REFUSED');"),
  drop(
    'token: members of the header',
    TOKEN,
    "if (Object.keys(header).join() !== 'alg,kid,typ') throw new Failure('TOKEN_MALFORMED', { reason: 'header_members' });",
  ),
  drop('token: type', TOKEN, "if (header['typ'] !== typ) throw new Failure('TYP_REFUSED', { expected: typ });"),
  drop(
    'token: a key id that is a thumbprint',
    TOKEN,
    "if (typeof kid !== 'string' || !KID.test(kid)) throw new Failure('TOKEN_MALFORMED', { reason: 'kid' });",
  ),
  // The key and its role, the signature, the bytes.
  change(
    'key: in the role',
    ROOT,
    'root.roles[name].kids.includes(kid) ? root.keys[kid] : undefined',
    'root.keys[kid]',
  ),
  change(
    'signature',
    TOKEN,
    "({ payload } = await compactVerify(token, key, { algorithms: ['Ed25519'] }));",
    "payload = fromBase64url(token.split('.')[1] ?? '');",
  ),
  change('payload: UTF-8', CANONICAL, 'fatal: true, ', ''),
  change('payload: without a byte order mark', CANONICAL, ', ignoreBOM: true', ''),
  drop(
    'payload: depth',
    CANONICAL,
    "if (nestingDepth(text) > JSON_DEPTH_MAX) throw new Failure('NONCANONICAL', { reason: 'depth' });",
  ),
  drop(
    'payload: canonical',
    CANONICAL,
    "if (JSON.stringify(value) !== text) throw new Failure('NONCANONICAL', { reason: 'form' });",
  ),
  // Whose command, under which root.
  drop('command: version', AUTHORISE, "if (claimed['v'] !== 1) throw new Failure('VERSION_UNSUPPORTED', { have: 1 });"),
  drop('command: issuer', AUTHORISE, "if (claimed['iss'] !== root.iss) throw new Failure('ISS_MISMATCH');"),
  drop('command: addressee', AUTHORISE, "if (claimed['aud'] !== agent) throw new Failure('AUD_MISMATCH');"),
  drop(
    'command: a time that is one',
    AUTHORISE,
    "if (typeof iat !== 'number') throw new Failure('SCHEMA_INVALID', { field: 'iat' });",
  ),
  drop('root: not past its end', AUTHORISE, 'assertRootValid(root, iat);'),
  drop('key: not past its end', AUTHORISE, "roleKeys(root, 'command', iat)(token.header.kid);"),
  // The tripwire, before any schema.
  drop('reroot: in the command', AUTHORISE, 'refuseReroot(token.payload);'),
  drop('reroot: in the intent', AUTHORISE, "refuseReroot(looseIntent(claimed['intent'] ?? carried?.bytes));"),
  // Strictly what it says.
  change(
    'schema: the command',
    AUTHORISE,
    'parseSchema(commandSchema, token.payload)',
    'token.payload as unknown as Command',
  ),
  change(
    'schema: the intent',
    AUTHORISE,
    'const intent = readIntent(bytes);',
    'const intent = parseCanonical(fromBase64url(bytes)) as unknown as Intent;',
  ),
  change('intent: the one that the command names', AUTHORISE, 'carried && carried.sha256 === intent_sha256', 'carried'),
  change(
    'intent: in one place alone',
    AUTHORISE,
    'intent !== undefined && carried === undefined',
    'intent !== undefined',
  ),
  // Fresh, and for this executor.
  change('nonce', AUTHORISE, 'command.cn !== cn || ', ''),
  change('operation', AUTHORISE, 'command.op !== op || ', ''),
  change('time to live', AUTHORISE, ' || expired)', ')'),
  // The intent is about the same.
  drop(
    'intent: operation',
    AUTHORISE,
    "if (intent.op !== command.op) throw new Failure('AUTHZ_INVALID', { reason: 'op' });",
  ),
  drop(
    'intent: machine',
    AUTHORISE,
    "if (targetOf(intent, command.index) !== agent) throw new Failure('AUTHZ_INVALID', { reason: 'agent' });",
  ),
  drop(
    'intent: project',
    AUTHORISE,
    "if (intent.project !== project) throw new Failure('AUTHZ_INVALID', { reason: 'project' });",
  ),
  drop(
    'intent: operator',
    AUTHORISE,
    "if (intent.operator !== command.authz.operator) throw new Failure('AUTHZ_INVALID', { reason: 'operator' });",
  ),
  change('intent: not too far ahead', AUTHORISE, 'intent.not_after > command.iat + INTENT_TTL_S_MAX', 'false'),
  drop(
    'intent: not past its end',
    AUTHORISE,
    "if (intent.not_after < command.iat) throw new Failure('EXPIRED', { reason: 'intent' });",
  ),
  drop(
    'act: work',
    AUTHORISE,
    "if (intent.act === 'cancel') throw new Failure('SCHEMA_INVALID', { field: 'intent.act' });",
  ),
  drop(
    'a factor, not a session',
    AUTHORISE,
    "if (command.authz.method === 'session') throw new Failure('AUTHZ_INVALID', { reason: 'no_factor' });",
  ),
  drop(
    'reset: not before its time',
    AUTHORISE,
    "if ((intent.not_before ?? 0) > iat) throw new Failure('NOT_YET_VALID', { reason: 'intent' });",
  ),
  change('initialise: for the machine of that join token', AUTHORISE, 'intent.join_sha256 !== joinSha256', 'false'),
  drop(
    'cancel: that and nothing else',
    AUTHORISE,
    "if (intent.act !== 'cancel') throw new Failure('SCHEMA_INVALID', { field: 'intent.act' });",
  ),
  drop('cancel: checked when it is left', CANCEL, 'await demandCancel(parts, open, token);'),
  change('cancel: checked when it is taken', CANCEL, '    await demandCancel(parts, operation, token);\n', ''),
  // At most once, one at a time.
  drop('prepare: nothing else under way', PREPARE, 'await demandNothingOpen(parts);'),
  drop(
    'ledger: another command of that operation',
    ACCEPT,
    "if (recorder.ledger.has(op)) throw new Failure('OP_CONFLICT');",
  ),
  drop('ledger: nothing else under way', ACCEPT, 'demandIdle(recorder.ledger);'),
  // The operator's own proof.
  drop('proof: asked for', ACCEPT, 'await demandOperatorProof(root, order);'),
  drop('proof: there', PROOF, "if (!proof) throw refusal('operator_proof_required');"),
  drop(
    'proof: of the method that is claimed',
    PROOF,
    "if (method !== (isPasskey ? 'passkey' : 'key')) throw refusal('method');",
  ),
  drop('proof: holds', PROOF, "if (!holds) throw refusal('signature');"),
  change(
    'proof: of that operator’s passkey',
    PROOF,
    'if ((await passkeyThumbprint({ x, y })) !== proof.kid) continue;',
    '',
  ),
  drop('proof: of an operator whom the root names', PROOF, "if (!known) throw refusal('operator_unknown');"),
  change('proof: of that operator’s key', PROOF, '(await thumbprint(jwk)) === kid', 'true'),
  change(
    'proof: the signature of a key or passkey',
    PROOF,
    "return verify(hash, signed, createPublicKey({ key: jwk as never, format: 'jwk' }), fromBase64url(sig));",
    'return true;',
  ),
  drop(
    'passkey: client data that is an object',
    ASSERTION,
    "demand(typeof value === 'object' && value !== null && !Array.isArray(value), 'client_data');",
  ),
  drop(
    'passkey: authenticator data that is whole',
    ASSERTION,
    "demand(authData.length >= AUTH_DATA_BYTES_MIN, 'auth_data');",
  ),
  drop('passkey: an assertion', ASSERTION, "demand(said['type'] === 'webauthn.get', 'type');"),
  drop('passkey: of this intent', ASSERTION, "demand(said['challenge'] === wanted.challenge, 'challenge');"),
  drop('passkey: from the console', ASSERTION, "demand(said['origin'] === wanted.origin, 'origin');"),
  drop(
    'passkey: not from a frame',
    ASSERTION,
    "demand(said['crossOrigin'] === undefined || said['crossOrigin'] === false, 'cross_origin');",
  ),
  drop(
    'passkey: for that relying party',
    ASSERTION,
    "demand(toBase64url(authData.subarray(0, FLAGS_AT)) === rpIdHash, 'rp_id');",
  ),
  drop('passkey: with a user present', ASSERTION, "demand((flags & USER_PRESENT) !== 0, 'user_present');"),
  drop('passkey: with a user verified', ASSERTION, "demand((flags & USER_VERIFIED) !== 0, 'user_verified');"),
  // The machine and the account.
  drop('environment', CONDITIONS, "if (fault) throw new Failure('ENV_REFUSED', { reason: fault });"),
  drop(
    'account: the uid that was meant',
    CONDITIONS,
    "if (asked.uid !== null && asked.uid !== account.uid) throw new Failure('ACCOUNT_NOT_FOUND', { reason: 'uid' });",
  ),
  drop(
    'account: not expired',
    CONDITIONS,
    "if (account.state === 'expired') throw new Failure('ACCOUNT_EXPIRED', { account: account.name });",
  ),
  drop(
    'account: not locked',
    CONDITIONS,
    "if (account.state === 'locked' && !asked.unlock) throw new Failure('ACCOUNT_LOCKED', { account: account.name });",
  ),
  drop('VNC: one server', CONDITIONS, "if (named.length > 1) throw new Failure('VNC_AMBIGUOUS');"),
  drop('VNC: there, where nothing else is asked', CONDITIONS, "if (!found && alone) throw new Failure('VNC_ABSENT');"),
  drop(
    'VNC: with a password of its own',
    CONDITIONS,
    "if (found?.kind === 'account') throw new Failure('VNC_USES_ACCOUNT', { vnc: found.id });",
  ),
  drop('a normal reboot can be asked for', ACCEPT, 'await parts.power.available();'),
  drop('VNC: with files that can be changed', ACCEPT, 'await demandChangeableVnc(parts, holding, server);'),
  change(
    'after a grace period: nothing that would be refused now',
    RUN,
    "return changed && 'code' in changed ? end('FAILED', changed.code, changed.details) : undefined;",
    'return undefined;',
  ),
  // The secrets.
  change(
    'sealed: what was proven',
    ACCEPT,
    'sealed === undefined || (await sha256Text(sealed)) !== source.sealed_sha256',
    'sealed === undefined',
  ),
  change('sealed: nothing that was not', ACCEPT, 'if (sealed !== undefined) throw', 'if (false) throw'),
  drop(
    'sealed: algorithms',
    SEAL,
    "if (alg !== 'ECDH-ES' || enc !== 'A256GCM' || zip !== undefined) throw new Failure('ALG_REFUSED', { reason: 'jwe' });",
  ),
  drop(
    'sealed: size',
    SEAL,
    "if (sealed.length > SEALED_BYTES_MAX) throw new Failure('UNSEAL_FAILED', { reason: 'size' });",
  ),
  drop(
    'sealed: shape',
    SEAL,
    "if (!z.safeParse(sealedSecret, sealed).success) throw new Failure('UNSEAL_FAILED', { reason: 'shape' });",
  ),
  drop(
    'sealed: members of the header',
    SEAL,
    "if (!result.success) throw new Failure('UNSEAL_FAILED', { reason: 'header' });",
  ),
  drop(
    'sealed: to this key',
    SEAL,
    "if (result.data.kid !== kid) throw new Failure('UNSEAL_FAILED', { reason: 'kid' });",
  ),
  drop(
    'sealed: for this operation, machine, direction and slot',
    SEAL,
    "if (content[field] !== context[field]) throw new Failure('UNSEAL_FAILED', { reason: field });",
  ),
  drop('password: the rule', ACCEPT, "if (forAccount) assertPassword(passwordFault(forAccount, context), 'account');"),
  change(
    'password: length',
    PASSWORD,
    "if (bytes.length < PASSWORD_BYTES_MIN || bytes.length > PASSWORD_BYTES_MAX) return 'length';",
    '',
  ),
  change(
    'password: characters',
    PASSWORD,
    "if (bytes.some((byte) => byte < 0x21 || byte > 0x7e)) return 'character';",
    '',
  ),
  change('password: a letter', PASSWORD, "if (!/[A-Za-z]/.test(text)) return 'no_letter';", ''),
  change('password: a digit', PASSWORD, "if (!/[0-9]/.test(text)) return 'no_digit';", ''),
  change(
    'password: not the account’s name',
    PASSWORD,
    "if (name.length >= ACCOUNT_NAME_MIN && lower.includes(name)) return 'account_name';",
    '',
  ),
  change('password: not a common one', PASSWORD, "if (context.common?.has(lower)) return 'common';", ''),
  change(
    'password: the eight that VncAuth reads',
    PASSWORD,
    'return classFault(password.reveal().slice(0, VNCAUTH_BYTES));',
    'return undefined;',
  ),
  drop(
    'password: the rule for VNC',
    ACCEPT,
    "if (forVnc) assertPassword(found?.kind === 'vncauth' ? vncAuthFault(forVnc) : passwordFault(forVnc), 'vnc');",
  ),
  change(
    'password: two that begin differently',
    ACCEPT,
    'if (forAccount && forVnc && sameStart(forAccount, forVnc)) {',
    'if (false) {',
  ),
  // Durable before any effect.
  drop('journal', ACCEPT, "await recorder.append({ kind: 'accepted', op, work, receipt });"),
  // What was done, by its effect.
  change('proof: the checker accepts the password', EFFECTS, "if (!accepted) return { reason: 'not_accepted' };", ''),
  change('proof: the account can sign in', EFFECTS, "return usable ? null : { reason: 'not_usable' };", 'return null;'),
  drop(
    'proof: the entry changed',
    EFFECTS,
    "return 'code' in set\n      ? end('FAILED', set.code, set.details)\n      : end('FAILED', 'VERIFY_FAILED', { reason: 'unchanged' });",
  ),
  change('proof: no other entry changed', EFFECTS, 'changed.length > 1 || ', ''),
  drop(
    'before the reboot: the machine would come back as it is',
    EFFECTS,
    "return end('PARTIAL', 'REBOOT_DENIED', { reason: fault });",
  ),
  drop(
    'after the reboot: the machine came back as it was',
    EFFECTS,
    "return end('PARTIAL', 'BOOT_ENV_CHANGED', { reason: fault });",
  ),
  change(
    'after the reboot: the entry is the one that was set',
    EFFECTS,
    "'value' in entries && entries.value[name] === finding.accountEntry",
    "'value' in entries",
  ),
  // Acknowledgements, by which receipts are forgotten.
  drop(
    'acknowledgement: of this machine',
    SESSION,
    "if (agent !== parts.identity.agent) throw new Failure('AUD_MISMATCH');",
  ),
];
