/**
 * What lies in an image archive, by name: a tar file or a folder. Names of members are keys to look up
 * and never become paths; a folder gives only regular files that are really inside it.
 *
 * @module
 */
import {
  FailedPreconditionError,
  InvalidArgumentError,
  ResourceExhaustedError,
  shown,
} from "../errors/mod.ts";
import { type TarEntry, TarReader } from "../storage/mod.ts";

/** Where the bytes of a member are. */
export interface Member {
  readonly path: string;
  readonly offset: bigint;
  readonly length: bigint;
}

export interface ArchiveContents {
  /** `docker-archive`, `oci-archive` or `oci`, as a policy names them, by what lies in it. */
  readonly isFolder: boolean;
  find(name: string): Promise<Member | undefined>;
}

const MAX_ENTRIES = 100_000;
const BLOCK_BYTES = 512;
const WINDOW_BYTES = 256 << 10;
const MAX_LINKS = 8;

/** The members of a tar file: only its headers are read, contents are skipped over. */
export async function indexTar(path: string): Promise<ArchiveContents> {
  using file = await Deno.open(path, { read: true });
  const { size, isFile } = await file.stat();
  if (!isFile) {
    throw new InvalidArgumentError(`Cannot load ${path}: it is not a regular file`, { path });
  }
  const members = new Map<string, Member>();
  const links = new Map<string, string>();
  let entry: TarEntry | undefined;
  const reader = new TarReader({
    maxEntries: MAX_ENTRIES,
    visitor: { entry: (found) => entry = found, content() {}, entryEnd() {} },
  });
  const blocks = new BlockReader(file);
  const nothing = new Uint8Array(WINDOW_BYTES);
  let offset = 0;
  while (offset + BLOCK_BYTES <= size) {
    entry = undefined;
    reader.push(await blocks.at(offset));
    offset += BLOCK_BYTES;
    const found = entry as TarEntry | undefined;
    if (found === undefined) continue;
    const name = normalised(found.path);
    if (name !== undefined && found.type === "file") {
      members.set(name, { path, offset: BigInt(offset), length: BigInt(found.size) });
      links.delete(name);
    } else if (name !== undefined && (found.type === "symlink" || found.type === "hardlink")) {
      const target = linkTarget(name, found);
      if (target !== undefined) links.set(name, target);
    }
    // The reader must see as many bytes as there are; which ones, only their digests judge later.
    const padded = Math.ceil(found.size / BLOCK_BYTES) * BLOCK_BYTES;
    if (offset + padded > size) {
      throw new InvalidArgumentError(
        `Cannot load ${path}: it is cut off within ${shown(found.path)}`,
        { path },
      );
    }
    for (let left = padded; left > 0; left -= Math.min(left, nothing.length)) {
      reader.push(nothing.subarray(0, Math.min(left, nothing.length)));
    }
    offset += padded;
  }
  reader.end();
  return {
    isFolder: false,
    find(name) {
      let at: string | undefined = name;
      for (let hops = 0; at !== undefined && hops <= MAX_LINKS; hops++) {
        const member = members.get(at);
        if (member !== undefined) return Promise.resolve(member);
        at = links.get(at);
      }
      return Promise.resolve(undefined);
    },
  };
}

/** Headers come one after the other with gaps of any size: a window saves most of the reads. */
class BlockReader {
  readonly #file: Deno.FsFile;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  #start = 0;
  #length = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  async at(offset: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + BLOCK_BYTES > this.#start + this.#length) {
      await this.#file.seek(offset, Deno.SeekMode.Start);
      this.#start = offset;
      this.#length = 0;
      while (this.#length < BLOCK_BYTES) {
        const count = await this.#file.read(this.#window.subarray(this.#length));
        if (count === null) throw new InvalidArgumentError("The archive became shorter");
        this.#length += count;
      }
    }
    const from = offset - this.#start;
    return this.#window.subarray(from, from + BLOCK_BYTES);
  }
}

/** A member's name as a key: without `.` and empty parts; undefined if it leaves the archive. */
function normalised(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.length === 0 ? undefined : parts.join("/");
}

function linkTarget(name: string, entry: TarEntry): string | undefined {
  if (entry.type === "hardlink") return normalised(entry.linkTarget);
  const slash = name.lastIndexOf("/");
  return normalised(`${slash < 0 ? "" : name.slice(0, slash)}/${entry.linkTarget}`);
}

/** The members of a folder. */
export async function openFolder(path: string): Promise<ArchiveContents> {
  const root = await Deno.realPath(path);
  return {
    isFolder: true,
    async find(name) {
      const key = normalised(name);
      if (key === undefined) return undefined;
      try {
        const real = await Deno.realPath(`${root}/${key}`);
        const { isFile, size } = await Deno.lstat(real);
        if (!real.startsWith(`${root}/`) || !isFile) {
          throw new InvalidArgumentError(
            `Cannot load ${path}: ${shown(name)} is not a regular file inside it`,
            { path },
          );
        }
        return { path: real, offset: 0n, length: BigInt(size) };
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      }
    },
  };
}

/** @throws {ResourceExhaustedError} it is longer than the limit */
export async function readMember(
  member: Member,
  limitBytes: number,
  what: string,
): Promise<Uint8Array> {
  if (member.length > BigInt(limitBytes)) {
    throw new ResourceExhaustedError(
      `Cannot load ${what}: it has ${member.length} bytes, the limit is ${limitBytes}`,
      { path: member.path },
    );
  }
  const bytes = new Uint8Array(Number(member.length));
  let filled = 0;
  for await (const chunk of memberChunks(member)) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

/** The bytes of a member; each chunk is valid until the next. */
export async function* memberChunks(member: Member): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(member.path, { read: true });
  await file.seek(member.offset, Deno.SeekMode.Start);
  const buffer = new Uint8Array(WINDOW_BYTES);
  let left = member.length;
  while (left > 0n) {
    const wanted = left < BigInt(buffer.length) ? Number(left) : buffer.length;
    const count = await file.read(buffer.subarray(0, wanted));
    if (count === null) {
      throw new FailedPreconditionError(`${member.path} became shorter while it was read`, {
        path: member.path,
      });
    }
    left -= BigInt(count);
    yield buffer.subarray(0, count);
  }
}
