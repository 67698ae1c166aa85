/**
 * Files that are there whole or not at all, whatever ends the process or the power.
 *
 * @module
 */

export interface AtomicWriteOptions {
  /** Permission bits. Default 0600. */
  readonly mode?: number;
  /**
   * What the file must survive: the death of this process costs nothing; a power cut costs two
   * syncs of the disk, which take up to 100 ms and more (on a thread of the pool). Default `power-cut`.
   */
  readonly survives?: "crash" | "power-cut";
}

const PREFIX = ".tmp-";

/** True for names of half-written files: left over from a crash, they can be removed. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/**
 * Writes a file under a temporary name in the same directory and renames it into place. Readers see
 * the old content or the new. After a failure the old is there and nothing else.
 */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  { mode = 0o600, survives = "power-cut" }: AtomicWriteOptions = {},
): Promise<void> {
  const at = path.lastIndexOf("/");
  const directory = path.slice(0, at + 1) || "./";
  const temporary = `${directory}${PREFIX}${crypto.randomUUID()}`;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  try {
    await writeNew(temporary, bytes, mode, survives);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {
      // It was never made, or the disk fails: the first error is the one that matters.
    });
    throw error;
  }
  if (survives === "power-cut") await syncDirectory(directory);
}

/** Makes names made, renamed and removed in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  using directory = await Deno.open(path, { read: true });
  await directory.sync();
}

async function writeNew(
  path: string,
  bytes: Uint8Array,
  mode: number,
  survives: "crash" | "power-cut",
): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode });
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  // The umask may have taken bits from the mode above.
  await Deno.chmod(path, mode);
  if (survives === "power-cut") await file.sync();
}
