/**
 * Archives that attack the host: each is refused with a clear error or stays inside its layer; the tree
 * beside the store is as it was, and nothing is left.
 */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { createHash } from "node:crypto";
import {
  InvalidArgumentError,
  ResourceExhaustedError,
  type SauropodError,
} from "../../src/errors/mod.ts";
import { parseDigest } from "../../src/model/mod.ts";
import { createLinuxKernel } from "../../src/sys/linux.ts";
import {
  archive,
  type ArchiveEntry,
  archiveOf,
  concat,
  entryBytes,
  paxBody,
} from "../../src/storage/testdata/tar_archive.ts";
import { chainOf, StorageBench } from "./storage_bench.ts";

/** A tree of the host that archives try to reach, and its fingerprint. */
class Victim {
  readonly directory: string;

  constructor(bench: StorageBench) {
    this.directory = `${bench.directory}/victim`;
    Deno.mkdirSync(`${this.directory}/etc`, { recursive: true, mode: 0o755 });
    Deno.writeTextFileSync(`${this.directory}/etc/passwd`, "root:x:0:0\n", { mode: 0o644 });
    Deno.writeTextFileSync(`${this.directory}/secret`, "host secret", { mode: 0o600 });
  }

  fingerprint(): string {
    const hash = createHash("sha256");
    const visit = (path: string): void => {
      const stat = Deno.lstatSync(path);
      const { mode, uid, gid, size, nlink, isDirectory } = stat;
      // Change times of inodes tell of any touch, also one that was reverted.
      hash.update(JSON.stringify([path, mode, uid, gid, size, nlink, stat.ctime?.getTime()]));
      if (stat.isFile) hash.update(Deno.readFileSync(path));
      if (!isDirectory) return;
      for (const { name } of [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1)) {
        visit(`${path}/${name}`);
      }
    };
    visit(this.directory);
    return hash.digest("hex");
  }
}

interface Attack {
  readonly name: string;
  readonly entries: (victim: string) => readonly ArchiveEntry[];
  /** What the error says; undefined if the archive is tamed instead of refused. */
  readonly error?: RegExp;
  /** What must be true of a tamed archive's tree. */
  readonly tamed?: (root: string) => void;
}

const exists = (path: string): boolean => {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
};

const ATTACKS: readonly Attack[] = [
  {
    name: "a path that climbs out by ..",
    entries: () => [{ path: "../../../victim/etc/passwd", content: "evil" }],
    error: /its path holds \.\./,
  },
  {
    name: "a path that climbs and comes back",
    entries: () => [{ path: "a/../b", content: "evil" }],
    error: /its path holds \.\./,
  },
  {
    name: "an absolute path",
    entries: (victim) => [{ path: `${victim}/etc/passwd`, content: "evil" }],
    tamed: (root) =>
      assert([...Deno.readDirSync(root)].length === 1, "the path is taken below the layer's root"),
  },
  {
    name: "a file through an absolute link",
    entries: (victim) => [
      { path: "link", type: "2", link: victim },
      { path: "link/etc/passwd", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a file through a relative link that climbs",
    entries: () => [
      { path: "link", type: "2", link: "../../../../victim" },
      { path: "link/planted", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a file through a link within the layer that points at the host's path",
    entries: (victim) => [
      { path: victim.slice(1), type: "5" },
      { path: "link", type: "2", link: victim },
      { path: "link/planted", content: "stays inside" },
    ],
    tamed: (root) => assert(exists(`${root}/link`)),
  },
  {
    name: "a file over a link of the same name",
    entries: (victim) => [
      { path: "file", type: "2", link: `${victim}/etc/passwd` },
      { path: "file", content: "evil", mode: 0o777, uid: 1000 },
    ],
    tamed: (root) => assert.equal(Deno.lstatSync(`${root}/file`).isFile, true),
  },
  {
    name: "a directory over a link, and files in it",
    entries: (victim) => [
      { path: "dir", type: "2", link: victim },
      { path: "dir", type: "5", mode: 0o777, uid: 1000 },
      { path: "dir/planted", content: "stays inside" },
    ],
    tamed: (root) => assert.equal(Deno.readTextFileSync(`${root}/dir/planted`), "stays inside"),
  },
  {
    name: "a directory swapped for a link after it was opened",
    entries: (victim) => [
      { path: "dir/", type: "5" },
      { path: "dir/first", content: "1" },
      { path: "dir", type: "2", link: victim },
      { path: "dir/planted", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a link above a directory swapped after it was resolved",
    entries: (victim) => [
      { path: "real/etc/", type: "5" },
      { path: "way", type: "2", link: "real" },
      { path: "way/etc/one", content: "1" },
      { path: "way", type: "2", link: victim },
      { path: "way/etc/passwd", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a hard link to a file of the host",
    entries: (victim) => [
      { path: "hard", type: "1", link: `${victim}/secret` },
      { path: "hard", content: "evil" },
    ],
    error: /is not in the layer/,
  },
  {
    name: "a hard link that climbs",
    entries: () => [{ path: "hard", type: "1", link: "../../../victim/secret" }],
    error: /its path holds \.\./,
  },
  {
    name: "a hard link through a link to the host",
    entries: (victim) => [
      { path: "way", type: "2", link: victim },
      { path: "hard", type: "1", link: "way/secret" },
    ],
    error: /is not in the layer/,
  },
  {
    name: "a hard link to a link, then attributes through it",
    entries: (victim) => [
      { path: "soft", type: "2", link: `${victim}/secret` },
      { path: "hard", type: "1", link: "soft" },
      { path: "hard", content: "evil", mode: 0o4777, uid: 1000 },
    ],
    tamed: (root) => assert.equal(Deno.lstatSync(`${root}/hard`).uid, 1000),
  },
  {
    name: "a hard link to a directory",
    entries: () => [{ path: "dir", type: "5" }, { path: "hard", type: "1", link: "dir" }],
    error: /is a directory/,
  },
  {
    name: "a hard link to itself",
    entries: () => [{ path: "f", content: "kept" }, { path: "f", type: "1", link: "f" }],
    tamed: (root) => assert.equal(Deno.readTextFileSync(`${root}/f`), "kept"),
  },
  {
    name: "magic links of /proc",
    entries: () => [
      { path: "root", type: "2", link: "/proc/self/root" },
      { path: "root/planted", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "magic links of /proc by way of cwd and fd",
    entries: () => [
      { path: "proc/self/", type: "5" },
      { path: "proc/self/cwd", type: "2", link: "/proc/self/cwd" },
      { path: "proc/self/cwd/planted", content: "evil" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "owner, mode and attributes through a link",
    entries: (victim) => [
      { path: "l", type: "2", link: `${victim}/secret`, mode: 0o777, uid: 4242, gid: 4242 },
    ],
    tamed: (root) => assert.equal(Deno.lstatSync(`${root}/l`).uid, 4242),
  },
  {
    name: "a whiteout that climbs",
    entries: () => [{ path: "../.wh.victim" }],
    error: /its path holds \.\./,
  },
  { name: "a whiteout of ..", entries: () => [{ path: "dir/.wh..." }], error: /hides no name/ },
  { name: "a whiteout of .", entries: () => [{ path: "dir/.wh.." }], error: /hides no name/ },
  { name: "a whiteout of nothing", entries: () => [{ path: "dir/.wh." }], error: /hides no name/ },
  {
    name: "a whiteout of a whiteout",
    entries: () => [{ path: ".wh..wh.x" }],
    error: /hides a whiteout/,
  },
  {
    name: "a whiteout through a link to the host",
    entries: (victim) => [
      { path: "way", type: "2", link: victim },
      { path: "way/.wh.secret" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "an opaque mark through a link to the host",
    entries: (victim) => [
      { path: "way", type: "2", link: victim },
      { path: "way/.wh..wh..opq" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a whiteout as a device node",
    entries: () => [{ path: "x", type: "3", major: 0, minor: 0 }],
    error: /character device 0:0/,
  },
  {
    name: "attributes of overlayfs",
    entries: (victim) => [{
      path: "dir",
      type: "5",
      pax: { "SCHILY.xattr.trusted.overlay.redirect": victim },
    }],
    error: /belongs to overlayfs/,
  },
  {
    name: "attributes of overlayfs for user mounts, on the root",
    entries: () => [{
      path: "./",
      type: "5",
      pax: { "SCHILY.xattr.user.overlay.opaque": "y" },
    }],
    error: /belongs to overlayfs/,
  },
  {
    name: "labels of security modules",
    entries: () => [{
      path: "f",
      content: "",
      pax: { "SCHILY.xattr.security.selinux": "system_u:object_r:shadow_t:s0" },
    }],
    tamed: (root) =>
      assert.deepEqual(createLinuxKernel().llistxattr(`${root}/f`), [], "they are left out"),
  },
  {
    name: "a device node and setuid",
    entries: () => [
      { path: "disk", type: "4", major: 8, minor: 0, mode: 0o666 },
      { path: "su", content: "#!", mode: 0o4755, uid: 0 },
    ],
    tamed: (root) => {
      assert.equal(Deno.lstatSync(`${root}/disk`).isBlockDevice, true);
      assert.equal((Deno.lstatSync(`${root}/su`).mode ?? 0) & 0o7777, 0o4755);
    },
  },
  {
    name: "a NUL in a name",
    entries: () => [{ path: "x", pax: { path: "a\0b" } }],
    error: /NUL/,
  },
  {
    name: "the root as a file",
    entries: () => [{ path: "./", type: "2", link: "/etc" }],
    error: /root must be a directory/,
  },
  {
    name: "a file used as a directory",
    entries: () => [{ path: "f", content: "1" }, { path: "f/g", content: "2" }],
    error: /no directory of the layer/,
  },
  {
    name: "a loop of links",
    entries: () => [
      { path: "a", type: "2", link: "b" },
      { path: "b", type: "2", link: "a" },
      { path: "a/x", content: "1" },
    ],
    error: /no directory of the layer/,
  },
  {
    name: "a directory too deep",
    entries: () => [{ path: "x", content: "", pax: { path: "d/".repeat(600) + "f" } }],
    error: /deeper than 512/,
  },
  {
    name: "a name too long",
    entries: () => [{ path: "x", content: "", pax: { path: "n".repeat(256) } }],
    error: /longer than 255 bytes/,
  },
  {
    name: "a huge extended header",
    entries: () => [{ path: "x", type: "x", size: 8 * 2 ** 29 - 1 }],
    error: /the limit is 1048576/,
  },
  { name: "a sparse file", entries: () => [{ path: "s", type: "S" }], error: /sparse file/ },
  {
    name: "a sparse file by PAX",
    entries: () => [{ path: "s", pax: { "GNU.sparse.major": "1" } }],
    error: /sparse file/,
  },
  {
    name: "an owner that wraps to root",
    entries: () => [{ path: "f", pax: { uid: "4294967296" } }],
    error: /uid 4294967296 .* out of range/,
  },
  {
    name: "an owner that means none to chown",
    entries: () => [{ path: "f", pax: { gid: "4294967295" } }],
    error: /gid 4294967295 .* out of range/,
  },
];

Deno.test("hostile archives change nothing on the host and leave nothing behind", async (t) => {
  await using bench = await StorageBench.open();
  const victim = new Victim(bench);
  for (const attack of ATTACKS) {
    await t.step(attack.name, async () => {
      const before = victim.fingerprint();
      const pending = bench.apply(archive(...attack.entries(victim.directory)));
      if (attack.error === undefined) {
        const chainId = await pending;
        attack.tamed?.(bench.store.lowerDirectories(chainId)[0] ?? "");
        await bench.store.collect(new Set());
      } else await refusedWith(pending, attack.error);
      assert.equal(victim.fingerprint(), before);
      assert.deepEqual(await bench.leftovers(), []);
      assert.deepEqual([...Deno.readDirSync(`${bench.root}/layers`)], []);
    });
  }
  await t.step("all at once, in parallel", async () => {
    const before = victim.fingerprint();
    const results = await Promise.allSettled(
      [...ATTACKS, ...ATTACKS].map((attack, index) =>
        // A file of its own makes each archive, and so each layer, another.
        bench.apply(archive({ path: `n${index}` }, ...attack.entries(victim.directory)))
      ),
    );
    const failed = results.filter(({ status }) => status === "rejected").length;
    assert.equal(failed, 2 * ATTACKS.filter(({ error }) => error !== undefined).length);
    assert.equal(victim.fingerprint(), before);
    assert.deepEqual(await bench.leftovers(), []);
  });
});

Deno.test("truncated, damaged and padded blobs are refused and leave nothing", async (t) => {
  await using bench = await StorageBench.open();
  const tar = archive({ path: "f", content: "x".repeat(5000) });
  const gzip = new Uint8Array(gzipSync(tar));
  const flipped = gzip.slice();
  flipped[flipped.length - 6]! ^= 1;
  const cases: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["cut gzip", gzip.slice(0, -9), /damaged, cut off/],
    ["gzip with garbage after it", concat(gzip, new TextEncoder().encode("garbage")), /garbage/],
    ["gzip with zeros after it", concat(gzip, new Uint8Array(512)), /follow the end/],
    ["gzip with a wrong checksum", flipped, /damaged/],
    ["no gzip", tar, /damaged/],
    ["empty", new Uint8Array(), /damaged|cut off/],
  ];
  for (const [name, blob, error] of cases) {
    await t.step(name, async () => {
      const application = await bench.application(tar, { blob, compression: "gzip" });
      await refusedWith(bench.store.apply(application), error);
      assert.deepEqual(await bench.leftovers(), []);
    });
  }
  await t.step("a cut archive whose digests are right", async () => {
    await refusedWith(bench.apply(tar.slice(0, 2048)), /cut off within an entry/);
    assert.deepEqual(await bench.leftovers(), []);
  });
  await t.step("a member of other bytes than its digest", async () => {
    const application = await bench.application(tar);
    const blobDigest = parseDigest(`sha256:${"0".repeat(64)}`);
    await refusedWith(bench.store.apply({ ...application, blobDigest }), /digest of its blob/);
    assert.deepEqual(await bench.leftovers(), []);
  });
});

Deno.test("a compression bomb is stopped by its ratio, long before its end", async () => {
  await using bench = await StorageBench.open({ limits: { ratioAllowanceBytes: 8n << 20n } });
  const tar = archive({ path: "bomb", content: new Uint8Array(256 << 20) });
  const application = await bench.application(tar, {
    blob: new Uint8Array(gzipSync(tar)),
    compression: "gzip",
  });
  await assert.rejects(bench.store.apply(application), (error) => {
    assert(error instanceof ResourceExhaustedError);
    assert.match(error.message, /no ordinary layer/);
    return true;
  });
  assert.deepEqual(await bench.leftovers(), []);
});

Deno.test("a full disk is told as such, and its space is back afterwards", async () => {
  const directory = await Deno.makeTempDir();
  const kernel = createLinuxKernel();
  kernel.mount("tmpfs", directory, "tmpfs", 0n, "size=24m");
  try {
    await using bench = await StorageBench.open({ parent: directory });
    const tar = archive({ path: "large", content: new Uint8Array(32 << 20) });
    const application = await bench.application(tar, {
      blob: new Uint8Array(gzipSync(tar)),
      compression: "gzip",
    });
    const free = kernel.statfs(directory).blocksAvailable;
    await assert.rejects(bench.store.apply(application), (error) => {
      assert(error instanceof ResourceExhaustedError);
      assert.match(error.message, /disk is full/);
      return true;
    });
    assert.deepEqual(await bench.leftovers(), []);
    // The database's log may have grown by a page or two.
    assert(free - kernel.statfs(directory).blocksAvailable < 64n);
  } finally {
    kernel.umount2(directory, 2);
    await Deno.remove(directory);
  }
});

Deno.test("layers beyond the limits of entries and bytes are refused", async () => {
  await using bench = await StorageBench.open({ limits: { entries: 10, unpackedBytes: 65536n } });
  const many = archive(...Array.from({ length: 11 }, (_, i) => ({ path: `f${i}` })));
  await assert.rejects(bench.apply(many), ResourceExhaustedError);
  // Extended headers count: a million of them before one entry is work as well.
  const headers = concat(
    ...Array.from(
      { length: 11 },
      () => entryBytes({ path: "g", type: "g", content: paxBody({ comment: "x" }) }),
    ),
    archive({ path: "f" }),
  );
  await assert.rejects(bench.apply(headers), ResourceExhaustedError);
  await assert.rejects(
    bench.apply(archive({ path: "f", content: new Uint8Array(65536) })),
    ResourceExhaustedError,
  );
  assert.deepEqual(await bench.leftovers(), []);
});

Deno.test("many odd entries take time in proportion to their number", async (t) => {
  const shapes: Record<string, (count: number) => Generator<ArchiveEntry>> = {
    *"files of one name"(count) {
      for (let i = 0; i < count; i++) yield { path: "same" };
    },
    *"links swapped for directories"(count) {
      for (let i = 0; i < count; i += 4) {
        yield { path: "a", type: "2", link: "b" };
        yield { path: "a", type: "5" };
        yield { path: "a/b/c", type: "5" };
        yield { path: "a/b/c", type: "2", link: ".." };
      }
    },
    *"opaque marks and whiteouts"(count) {
      for (let i = 0; i < count; i += 2) {
        yield { path: `d${i % 1000}/.wh..wh..opq` };
        yield { path: `d${i % 1000}/.wh.x${i}` };
      }
    },
    *"deep directories"(count) {
      const deep = "d/".repeat(45);
      for (let i = 0; i < count; i++) yield { path: `${deep}${i % 80}`, type: "5" };
    },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    await t.step(name, async () => {
      // In memory: what a disk does with files made and removed at once is not ours to measure.
      await using bench = await StorageBench.open({ parent: "/dev/shm" });
      const times: number[] = [];
      for (const count of [8_000, 16_000, 32_000]) {
        const tar = archiveOf(shape(count));
        const application = await bench.application(tar);
        const began = performance.now();
        await bench.store.apply(application);
        times.push(performance.now() - began);
        await bench.store.collect(new Set());
      }
      const [small = 0, , large = 0] = times;
      // Four times the entries: quadratic work would take sixteen times as long.
      assert(large < 9 * small + 500, `${name}: ${times.map(Math.round).join(", ")} ms`);
    });
  }
});

Deno.test("a worker that unpacks a hostile archive keeps serving others", async () => {
  await using bench = await StorageBench.open();
  const good = archive({ path: "good", content: "good" });
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, (_, i) =>
      bench.apply(
        i % 2 === 0
          ? archive({ path: `good${i}`, content: "x" })
          : archive({ path: `bad${i}` }, { path: "../bad" }),
      )),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    Array.from({ length: 40 }, (_, i) => i % 2 === 0 ? "fulfilled" : "rejected"),
  );
  const chainId = await bench.apply(good);
  assert.equal(chainId, chainOf(null, bench.store.get(chainId)!.diffId));
  assert.deepEqual(await bench.leftovers(), []);
});

async function refusedWith(pending: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(pending, (error) => {
    assert(error instanceof InvalidArgumentError, String(error));
    assert.match((error as SauropodError).message, message);
    return true;
  });
}
