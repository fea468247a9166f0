// Where things lie in the data folder. It knows names only.

import { join } from 'node:path';

export type Paths = Readonly<Record<keyof ReturnType<typeof pathsIn>, string>>;

export const pathsIn = (data: string) => ({
  data,
  lock: join(data, 'lock'),
  installation: join(data, 'installation.json'),
  /** Where the control plane listens, for commands on this machine; there while it runs. */
  address: join(data, 'address'),
  apiKey: join(data, 'api-key'),
  rootKeyFolder: join(data, 'keys'),
  rootKey: join(data, 'keys', 'root.json'),
  trustFolder: join(data, 'trust'),
  trustRoot: join(data, 'trust', 'root.json'),
  tlsFolder: join(data, 'tls'),
  /** The authority that agents pin; the one file of these that is for everybody. */
  tlsAuthority: join(data, 'tls', 'ca.pem'),
  tlsAuthorityKey: join(data, 'tls', 'ca.key'),
  tlsCert: join(data, 'tls', 'server.pem'),
  tlsKey: join(data, 'tls', 'server.key'),
  gatewayFolder: join(data, 'gateway'),
  /** Of whichever process writes the database, however many of them are started. */
  webLock: join(data, 'gateway', 'lock'),
  database: join(data, 'gateway', 'latchkey.db'),
  /** Where it was until it got a folder that is its writer's alone. */
  databaseBefore: join(data, 'latchkey.db'),
  sessionKey: join(data, 'gateway', 'session.key'),
  signerFolder: join(data, 'signer'),
  commandKey: join(data, 'signer', 'command.key'),
  signerDatabase: join(data, 'signer', 'signer.db'),
  /** The one folder of the signer's that the web may enter. */
  runFolder: join(data, 'run'),
  signerSocket: join(data, 'run', 'signer.sock'),
  adminSocket: join(data, 'signer', 'admin.sock'),
  signerLock: join(data, 'signer', 'lock'),
  signerLog: join(data, 'signer', 'log'),
});
