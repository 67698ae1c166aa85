import assert from "node:assert/strict";
import { InvalidArgumentError, ResourceExhaustedError } from "../errors/mod.ts";
import { type TarEntry, TarReader } from "./tar_reader.ts";
import { archive, type ArchiveEntry, concat, entryBytes, paxBody } from "./testdata/tar_archive.ts";

interface Read extends TarEntry {
  readonly content: string;
}

/** Reads an archive in chunks of a size. */
function read(bytes: Uint8Array, chunk = bytes.length || 1, maxEntries = 1000): Read[] {
  const entries: Read[] = [];
  let entry: TarEntry | undefined;
  let content = "";
  const reader = new TarReader({
    visitor: {
      entry(next) {
        assert.equal(entry, undefined, "an entry begins after the one before has ended");
        entry = next;
        content = "";
      },
      content(part) {
        assert(part.length > 0);
        content += new TextDecoder().decode(part);
      },
      entryEnd() {
        assert(entry !== undefined);
        assert.equal(content.length, entry.size);
        entries.push({ ...entry, content });
        entry = undefined;
      },
    },
    maxEntries,
  });
  for (let at = 0; at < bytes.length; at += chunk) reader.push(bytes.subarray(at, at + chunk));
  reader.end();
  return entries;
}

const one = (entry: ArchiveEntry): Read => {
  const [only] = read(archive(entry));
  assert(only !== undefined);
  return only;
};

const refuses = (bytes: Uint8Array, message: RegExp): void =>
  assert.throws(() => read(bytes), (error) => {
    assert(error instanceof InvalidArgumentError, String(error));
    assert.match(error.message, message);
    return true;
  });

const base256 = (value: bigint, width: number): Uint8Array => {
  const bytes = new Uint8Array(width);
  let left = BigInt.asUintN(width * 8, value);
  for (let i = width - 1; i >= 0; i--, left >>= 8n) bytes[i] = Number(left & 0xffn);
  bytes[0]! |= 0x80;
  return bytes;
};

const MIXED = archive(
  { path: "dir/", type: "5", mode: 0o2755, uid: 7, gid: 8 },
  { path: "dir/file", content: "hello", mtime: 12345 },
  { path: "link", type: "2", link: "dir/file" },
  {
    path: "x",
    content: "c".repeat(1500),
    pax: { path: "dir/ünïcode", "SCHILY.xattr.user.a": "b" },
  },
  { path: "hard", type: "1", link: "dir/file", size: 5 },
  { path: "tty", type: "3", major: 4, minor: 64 },
  { path: "fifo", type: "6" },
);

Deno.test("TarReader reads every type of entry, however the stream is cut", () => {
  const whole = read(MIXED);
  assert.deepEqual(whole.map(({ type, path }) => [type, path]), [
    ["directory", "dir/"],
    ["file", "dir/file"],
    ["symlink", "link"],
    ["file", "dir/ünïcode"],
    ["hardlink", "hard"],
    ["char", "tty"],
    ["fifo", "fifo"],
  ]);
  const [directory, file, link, long, hard, device] = whole;
  assert.deepEqual([directory?.mode, directory?.uid, directory?.gid], [0o2755, 7, 8]);
  assert.deepEqual([file?.content, file?.mtime.seconds], ["hello", 12345n]);
  assert.equal(link?.linkTarget, "dir/file");
  assert.deepEqual(long?.xattrs.get("user.a"), new TextEncoder().encode("b"));
  assert.equal(hard?.size, 0);
  assert.deepEqual([device?.deviceMajor, device?.deviceMinor], [4, 64]);
  for (const chunk of [1, 7, 511, 512, 513, 1000, 4096]) {
    assert.deepEqual(read(MIXED, chunk), whole, `in chunks of ${chunk}`);
  }
});

Deno.test("TarReader reads GNU long names, base-256 numbers, prefixes and names of any bytes", () => {
  const long = "n".repeat(150);
  const bytes = concat(
    entryBytes({ path: "././@LongLink", type: "L", content: `${long}\0` }),
    entryBytes({ path: "././@LongLink", type: "K", content: `${long}/target\0` }),
    archive({ path: "short", type: "2", link: "short" }),
  );
  assert.deepEqual(read(bytes).map(({ path, linkTarget }) => [path, linkTarget]), [
    [long, `${long}/target`],
  ]);
  const large = one({
    path: "f",
    raw: { 108: base256(3_000_000_000n, 8), 136: base256(-5n, 12) },
  });
  assert.deepEqual([large.uid, large.mtime.seconds], [3_000_000_000, -5n]);
  assert.equal(one({ path: "name", raw: { 345: "some/prefix" } }).path, "some/prefix/name");
  // GNU keeps times where ustar has its prefix.
  assert.equal(one({ path: "name", raw: { 257: "ustar  \0", 345: "0123" } }).path, "name");
  const odd = one({ path: "", raw: { 0: new Uint8Array([0x61, 0xff, 0x62]) } });
  assert.equal(odd.path, "a\udcffb");
});

Deno.test("TarReader applies PAX records: global, local, cleared, times and large numbers", () => {
  const bytes = concat(
    entryBytes({ path: "g", type: "g", content: paxBody({ gid: "99", mtime: "-1.25" }) }),
    entryBytes({ path: "a", pax: { uid: "4294967294", gid: "5" } }),
    entryBytes({ path: "b" }),
    entryBytes({ path: "g", type: "g", content: paxBody({ gid: "" }) }),
    archive({ path: "c", gid: 3 }),
  );
  const [a, b, c] = read(bytes);
  assert.deepEqual([a?.uid, a?.gid], [4294967294, 5]);
  assert.deepEqual([b?.uid, b?.gid, b?.mtime], [0, 99, { seconds: -2n, nanoseconds: 750_000_000 }]);
  assert.equal(c?.gid, 3);
  assert.deepEqual(
    one({ path: "t", pax: { mtime: "1600000000.123456789123" } }).mtime,
    { seconds: 1_600_000_000n, nanoseconds: 123_456_789 },
  );
  assert.deepEqual(
    one({ path: "x", pax: { "LIBARCHIVE.xattr.user.caf%C3%A9": "AAE=" } }).xattrs,
    new Map([["user.café", new Uint8Array([0, 1])]]),
  );
});

Deno.test("TarReader takes an archive without end marker, and only zeros after one", () => {
  assert.equal(read(entryBytes({ path: "f" })).length, 1);
  assert.deepEqual(read(new Uint8Array(0)), []);
  assert.deepEqual(read(new Uint8Array(10240)), []);
  refuses(concat(archive({ path: "f" }), entryBytes({ path: "g" })), /follows its end marker/);
  refuses(
    concat(entryBytes({ path: "f" }), new Uint8Array(512), entryBytes({ path: "g" })),
    /end marker is half one/,
  );
});

Deno.test("TarReader refuses malformed archives by name", () => {
  const file = entryBytes({ path: "f", content: "12345" });
  refuses(file.slice(0, 700), /cut off/);
  refuses(file.slice(0, 100), /cut off/);
  refuses(entryBytes({ path: "x", type: "x", content: paxBody({ uid: "1" }) }), /cut off/);
  refuses(archive({ path: "x", type: "x", content: paxBody({ uid: "1" }) }), /no entry after it/);
  const wrong = file.slice();
  wrong[0]! ^= 1;
  refuses(wrong, /checksum/);
  refuses(archive({ path: "f", type: "M" }), /unknown entry type/);
  refuses(archive({ path: "f", type: "S" }), /sparse/);
  refuses(archive({ path: "f", pax: { "GNU.sparse.map": "0,1" } }), /sparse/);
  refuses(archive({ path: "f", raw: { 108: "12x4567\0" } }), /not an octal number/);
  refuses(archive({ path: "f", raw: { 124: base256(1n << 70n, 12) } }), /is impossible/);
  refuses(archive({ path: "f", raw: { 124: base256(-1n, 12) } }), /is impossible/);
  refuses(archive({ path: "f", pax: { size: "1e3" } }), /not an integer/);
  refuses(archive({ path: "f", pax: { mtime: "yesterday" } }), /not a time/);
  refuses(archive({ path: "f", pax: { path: "a\0b" } }), /NUL/);
  refuses(archive({ path: "f", raw: { 116: base256(-2n, 8) } }), /gid -2 .* out of range/);
  refuses(archive({ path: "f", type: "x", content: "99 a=b\n" }), /wrong length/);
  refuses(archive({ path: "f", type: "x", content: "7 =abc\n" }), /no key/);
  refuses(archive({ path: "x", type: "x", size: (1 << 20) + 1 }), /limit is 1048576/);
  const endless = Array.from(
    { length: 9 },
    () => entryBytes({ path: "x", type: "x", content: paxBody({ uid: "1" }) }),
  );
  refuses(concat(...endless, archive({ path: "f" })), /more than 8 extended headers/);
  const attributes = Object.fromEntries(
    Array.from({ length: 129 }, (_, i) => [`SCHILY.xattr.user.a${i}`, "1"]),
  );
  refuses(archive({ path: "f", pax: attributes }), /more than 128 extended attributes/);
  assert.throws(
    () => read(archive({ path: "a" }, { path: "b" }), 512, 1),
    ResourceExhaustedError,
  );
});

Deno.test("TarReader either reads or refuses any damaged archive, without other errors", () => {
  // Deterministic: the same damages each time.
  let seed = 42;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed % below;
  };
  for (let round = 0; round < 3000; round++) {
    const bytes = MIXED.slice(0, random(10) === 0 ? random(MIXED.length) : MIXED.length);
    for (let i = random(4); i >= 0 && bytes.length > 0; i--) {
      bytes[random(bytes.length)] = random(256);
    }
    fixChecksums(bytes);
    try {
      read(bytes, 1 + random(2000));
    } catch (error) {
      assert(
        error instanceof InvalidArgumentError || error instanceof ResourceExhaustedError,
        `round ${round}: ${error}`,
      );
    }
  }
});

/** Makes damages reach the parser: every block that looks like a header gets its right checksum. */
function fixChecksums(bytes: Uint8Array): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (String.fromCharCode(...block.subarray(257, 262)) !== "ustar") continue;
    let sum = 8 * 0x20;
    for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
    block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  }
}
