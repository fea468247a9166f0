// The identity that a platform gives a virtual machine: the SMBIOS system UUID (DMTF DSP0134, section 7.2.1). It is compared as a
// hash, so that a control plane learns whether it is the one that it was told, and nothing else.

import { sha256Text } from './keys.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** All ones: not there, and may be set. All zeros: not there (DSP0134). */
const NONE = /^(0|-)+$|^(f|-)+$/;

/** The hash by which an instance is known; `null` for a text that is no UUID, or one that says that there is none. */
export async function instanceSha256(text: string): Promise<string | null> {
  const uuid = text.trim().toLowerCase();
  return UUID.test(uuid) && !NONE.test(uuid) ? sha256Text(`latchkey instance\n${uuid}`) : null;
}
