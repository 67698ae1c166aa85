/** Configuration files that an administrator writes: read whole, up to a limit. @module */
import { FailedPreconditionError, isErrno } from "../errors/mod.ts";

/** Far above any real policy, registry or credentials file. */
const MAX_FILE_BYTES = 1 << 20;

/**
 * The file's text; undefined if there is none.
 *
 * @param what the kind of file, for messages: `registries file`
 * @throws {FailedPreconditionError} it cannot be read, is not a regular file, is over 1 MiB or not UTF-8
 */
export async function readAdminFile(path: string, what: string): Promise<string | undefined> {
  try {
    using file = await Deno.open(path, { read: true });
    const { isFile, size } = await file.stat();
    if (!isFile) throw new Error("it is not a regular file");
    if (size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    // One byte more than the size tells a file that grows.
    const bytes = new Uint8Array(size + 1);
    let filled = 0;
    while (filled < bytes.length) {
      const count = await file.read(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    if (filled > size) throw new Error("it changed while it was read");
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, filled));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || isErrno(error, "ENOENT")) return undefined;
    throw new FailedPreconditionError(
      `Cannot read the ${what} ${path}: ${error instanceof Error ? error.message : String(error)}`,
      { path, cause: error },
    );
  }
}
