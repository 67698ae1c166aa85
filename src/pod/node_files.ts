/** Files of the node that pods are given a copy of. @module */

/** At most this much is copied: both files are a few lines on a sane node. */
const NODE_FILE_LIMIT_BYTES = 256 * 1024;

export interface NodeFiles {
  /** The node's `/etc/resolv.conf`, empty if it has none. */
  resolvConf(): Promise<string>;
  /** The node's `/etc/hosts`, empty if it has none. */
  hosts(): Promise<string>;
}

export class EtcFiles implements NodeFiles {
  resolvConf(): Promise<string> {
    return readBounded("/etc/resolv.conf");
  }
  hosts(): Promise<string> {
    return readBounded("/etc/hosts");
  }
}

async function readBounded(path: string): Promise<string> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
  using _ = file;
  const bytes = new Uint8Array(NODE_FILE_LIMIT_BYTES);
  let length = 0;
  for (;;) {
    const read = await file.read(bytes.subarray(length));
    if (read === null || length === bytes.length) break;
    length += read;
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}
