// One right value for the schema of every message and frame, with every optional part present, so that a test can break
// each part of each.

import type * as z from 'zod/mini';
import { command, keyProof, passkeyProof } from '../../protocol/command.ts';
import { cancelIntent, initialiseIntent, intent, resetIntent } from '../../protocol/intent.ts';
import { preflight } from '../../protocol/preflight.ts';
import { receipt } from '../../protocol/receipt.ts';
import { rootPayload, signedRoot, signRoot } from '../../protocol/root.ts';
import * as session from '../../protocol/session.ts';
import { trustFile } from '../../protocol/trust.ts';
import {
  AGENT,
  BOOT,
  bytes32Text,
  INSTALLATION,
  keys,
  NOW_S,
  OP,
  sampleBulk,
  sampleCommand,
  sampleInitialise,
  sampleIntent,
  samplePreflight,
  sampleReceipt,
  sampleRoot,
  seal,
} from './samples.ts';

const byPasskey = { kid: keys.spare.kid, auth_data: 'AAAA', client_data: 'AAAA', sig: 'AAAA' };
const proof = { kid: keys.spare.kid, sig: `${'A'.repeat(85)}Q` };
const token = `${'A'.repeat(40)}.AAAA.${'A'.repeat(86)}`;
const sealed = `AAAA..${'A'.repeat(16)}.AAAA.${'A'.repeat(22)}`;
const root = await signRoot(sampleRoot(), [keys.rootA, keys.rootB]);
const { act: _, account: _a, vnc: _v, reboot: _r, ...common } = sampleIntent();

const facts: session.Facts = {
  os: 'Debian 12',
  kernel: '6.1',
  arch: 'x64',
  virtualisation: 'kvm',
  memory_bytes: 1_073_741_824,
  uptime_s: 60,
  boot: BOOT,
  hostname: 'guest',
  agent_version: '0.1.0',
};

const enrol: session.Enrol = {
  v: 1,
  join_token: `lkj_${bytes32Text(0x80)}`,
  sn: bytes32Text(0x81),
  nonce: bytes32Text(0x82),
  ik: keys.ik.jwk,
  ek: keys.ek.jwk,
  ek_proof: token,
  machine_sha256: bytes32Text(0x83),
  facts,
};

const hello: session.Hello = {
  v: 1,
  agent: AGENT,
  sn: bytes32Text(0x81),
  an: bytes32Text(0x84),
  vmin: 1,
  vmax: 1,
  root_ver: 1,
  boot: BOOT,
  ctr: 0,
  jhead: bytes32Text(0x85),
  cb: bytes32Text(0x86),
  agent_version: '0.1.0',
};

const welcome: session.Welcome = {
  v: 1,
  agent: AGENT,
  an: bytes32Text(0x84),
  sid: bytes32Text(0x87),
  version: 1,
  now: NOW_S,
  min_root: 1,
  ctr: 1,
};

const ready: session.Ready = {
  v: 1,
  op: OP,
  agent: AGENT,
  cn: bytes32Text(0x60),
  seal: seal.jwk,
  ttl: 600,
  boot: BOOT,
  account: { name: 'root', uid: 0, state: 'active' },
  account_code: 'ACCOUNT_LOCKED',
  vnc: [
    { server: 'tigervnc:5901', kind: 'vncauth', effective: 8, uid: 1000, display: 'own' },
    { server: 'wayvnc:5902', kind: 'login', effective: 30, uid: 1000, reads: 'start' },
  ],
  warnings: ['VNC_TRUNCATED'],
};

const downFrames: session.DownFrame[] = [
  { t: 'challenge', sn: bytes32Text(0x81) },
  { t: 'enrolled', token },
  { t: 'welcome', token },
  { t: 'prepare', op: OP, account: 'root' },
  { t: 'command', op: OP, token },
  { t: 'cancel', op: OP, token },
  { t: 'ack', token },
  { t: 'preflight', nonce: bytes32Text(0x88), now: NOW_S },
  { t: 'error', code: 'BUSY' },
];

const upFrames: session.UpFrame[] = [
  { t: 'enrol', token },
  { t: 'hello', token },
  { t: 'hello_ok', ctr: 1 },
  { t: 'ready', op: OP, token },
  { t: 'receipt', token },
  { t: 'refused', op: OP, code: 'BUSY' },
  { t: 'synced', open: OP },
  { t: 'heartbeat', uptime_s: 60 },
  { t: 'facts', facts },
  { t: 'preflight', token },
  { t: 'no_preflight', nonce: bytes32Text(0x88), code: 'RATE_LIMITED' },
];

export const frames = { down: downFrames, up: upFrames };

/** Name, schema, a value that meets it. */
export const messages: readonly (readonly [string, z.core.$ZodType, unknown])[] = [
  ['root', rootPayload, sampleRoot()],
  [
    'root with operators',
    rootPayload,
    sampleRoot({
      roles: {
        ...sampleRoot().roles,
        operators: {
          ada: {
            keys: [keys.spare.jwk],
            passkeys: [
              { x: bytes32Text(1), y: bytes32Text(2), rp_id: 'console.example', origin: 'https://console.example' },
            ],
          },
        },
      },
    }),
  ],
  ['signed root', signedRoot, root],
  ['trust file', trustFile, { v: 1, url: ['wss://control.example'], ca_pem: '', root }],
  ['intent to reset', intent, sampleIntent()],
  ['reset', resetIntent, { ...sampleIntent(), not_before: NOW_S }],
  ['initialise', initialiseIntent, sampleInitialise()],
  ['reset of many', resetIntent, sampleBulk()],
  ['intent to cancel', intent, { ...common, act: 'cancel' }],
  ['cancel', cancelIntent, { ...common, act: 'cancel' }],
  [
    'command',
    command,
    {
      ...sampleCommand(),
      authz: { operator: 'ada', method: 'key', at: NOW_S, proof },
      sealed: { account: sealed, vnc: sealed },
    },
  ],
  [
    'command over many',
    command,
    (() => {
      const { intent: _, ...rest } = sampleCommand();
      const authz = { operator: 'ada', method: 'passkey', at: NOW_S, proof: byPasskey };
      return { ...rest, intent_sha256: bytes32Text(0x62), index: 0, authz };
    })(),
  ],
  ['key proof', keyProof, proof],
  ['passkey proof', passkeyProof, byPasskey],
  [
    'receipt',
    receipt,
    {
      ...sampleReceipt(),
      code: 'VNC_FAILED',
      detail: {
        account: 'root',
        vnc: 'tigervnc:5901',
        verified: { account: true, vnc: false, reboot: true },
        vnc_state: 'restart_required',
        effective: 8,
        boot_before: BOOT,
        boot_after: BOOT,
        grace_s: 1,
        attempt: 1,
        reason: 'policy',
      },
      sealed: { account: sealed, vnc: sealed },
    },
  ],
  ['facts', session.facts, facts],
  ['enrol', session.enrol, enrol],
  ['enrol-ek', session.enrolEk, { v: 1, ik_kid: keys.ik.kid, nonce: bytes32Text(0x82) }],
  [
    'enrolled',
    session.enrolled,
    { v: 1, iss: INSTALLATION, agent: AGENT, project: 'default', nonce: bytes32Text(0x82), now: NOW_S },
  ],
  ['hello', session.hello, hello],
  ['welcome', session.welcome, welcome],
  ['ready', session.ready, ready],
  ['preflight', preflight, samplePreflight()],
  ['ack', session.ack, { v: 1, agent: AGENT, op: OP, n: 1 }],
  ...downFrames.map((frame) => [`frame down ${frame.t}`, session.downFrame, frame] as const),
  ...upFrames.map((frame) => [`frame up ${frame.t}`, session.upFrame, frame] as const),
];
