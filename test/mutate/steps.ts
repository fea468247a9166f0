// Every step by which an executor comes from bytes to an accepted command, each with the words of the code that take it. To drop
// a step is to put other words there; a test holds each to standing in the code exactly once.

export type Mutation = Readonly<{ step: string; file: string; words: string; instead: string }>;

const TOKEN = 'protocol/token.ts';
const CANONICAL = 'protocol/canonical.ts';
const ROOT = 'protocol/root.ts';
const SEAL = 'protocol/seal.ts';
const AUTHORISE = 'agent/core/authorise.ts';
const ACCEPT = 'agent/executor/accept.ts';
const CONDITIONS = 'agent/executor/conditions.ts';
const ASSERTION = 'protocol/assertion.ts';
const PROOF = 'agent/executor/operator-proof.ts';

const drop = (step: string, file: string, words: string): Mutation => ({ step, file, words, instead: '' });
const change = (step: string, file: string, words: string, instead: string): Mutation => ({
  step,
  file,
  words,
  instead,
});

/** In the order in which a command meets them. */
export const mutations: readonly Mutation[] = [
  // Size and shape, header, type.
  drop('token: size', TOKEN, "if (token.length > sizeMax) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });"),
  change('token: a signature of 86 characters', TOKEN, '[A-Za-z0-9_-]{86}$/', '[A-Za-z0-9_-]+$/'),
  drop('token: spelling of the payload', TOKEN, '  fromBase64url(payloadPart);\n'),
  drop('token: spelling of the signature', TOKEN, '  fromBase64url(signaturePart);\n'),
  drop('token: algorithm', TOKEN, "if (header['alg'] !== 'Ed25519') throw new Failure('ALG_REFUSED');"),
  drop(
    'token: members of the header',
    TOKEN,
    "if (Object.keys(header).join() !== 'alg,kid,typ') throw new Failure('TOKEN_MALFORMED', { reason: 'header_members' });",
  ),
  drop('token: type', TOKEN, "if (header['typ'] !== typ) throw new Failure('TYP_REFUSED', { expected: typ });"),
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
  drop(
    'payload: canonical',
    CANONICAL,
    "if (JSON.stringify(value) !== text) throw new Failure('NONCANONICAL', { reason: 'form' });",
  ),
  // Whose command, under which root.
  drop('command: version', AUTHORISE, "if (claimed['v'] !== 1) throw new Failure('VERSION_UNSUPPORTED', { have: 1 });"),
  drop('command: issuer', AUTHORISE, "if (claimed['iss'] !== root.iss) throw new Failure('ISS_MISMATCH');"),
  drop('command: addressee', AUTHORISE, "if (claimed['aud'] !== agent) throw new Failure('AUD_MISMATCH');"),
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
    'act: a reset',
    AUTHORISE,
    "if (intent.act !== 'reset') throw new Failure('SCHEMA_INVALID', { field: 'intent.act' });",
  ),
  drop(
    'a factor, not a session',
    AUTHORISE,
    "if (command.authz.method === 'session') throw new Failure('AUTHZ_INVALID', { reason: 'no_factor' });",
  ),
  // At most once, one at a time.
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
  // Roots, by which all of this is judged.
  drop(
    'root: the next version alone',
    ROOT,
    "throw new Failure('ROOT_ROLLBACK', { have: current.version, offered: root.version });",
  ),
  drop('root: of the same installation', ROOT, "if (root.iss !== current.iss) throw new Failure('ISS_MISMATCH');"),
  drop('root: the threshold of the old one', ROOT, '  await demandThreshold(signed, root, current);\n'),
  change(
    'root: the threshold of the new one',
    ROOT,
    '(signed, root, current);\n  await demandThreshold(signed, root, root);\n',
    '(signed, root, current);\n',
  ),
];
