// How the signer is reached, from either side.

/** PEM: what this side shows, and the authority whose certificates alone the other side may show. */
export type MutualTls = Readonly<{ cert: string; key: string; ca: string }>;

/** A socket's path, or another host. */
export type SignerPlace = string | Readonly<{ host: string; port: number; tls: MutualTls }>;
