import assert from "node:assert/strict";
import { FailedPreconditionError } from "../../src/errors/mod.ts";
import { newContainerId } from "../../src/model/mod.ts";
import { DEFAULT_STALL_RULE } from "../../src/storage/layers.ts";
import { DEFAULT_UNPACK_LIMITS } from "../../src/storage/mod.ts";
import { archive } from "../../src/storage/testdata/tar_archive.ts";
import { snapshotsContract } from "./snapshots_contract.ts";
import { StorageBench } from "./storage_bench.ts";

snapshotsContract("vfs", async () => {
  const bench = await StorageBench.open({ driver: "vfs" });
  return {
    copies: true,
    snapshots: bench.snapshots,
    apply: (tar, parent = null) => bench.apply(tar, parent),
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
});

Deno.test("vfs snapshots have links, attributes, owners, modes and times of the image", async () => {
  await using bench = await StorageBench.open({ driver: "vfs" });
  const { kernel } = bench;
  const top = await bench.apply(
    archive(
      { path: "dir/", type: "5", mode: 0o1770, uid: 7, gid: 8, mtime: 1_000_000_000 },
      {
        path: "dir/setuid",
        content: "x".repeat(70_000),
        mode: 0o4755,
        uid: 9,
        mtime: 1_100_000_000,
      },
      { path: "hard", type: "1", link: "dir/setuid" },
      { path: "soft", type: "2", link: "dir/setuid" },
      { path: "pipe", type: "6", mode: 0o666, gid: 11 },
      { path: "null", type: "3", major: 1, minor: 3 },
    ),
  );
  const rootfs = await bench.snapshots.prepare({ containerId: newContainerId(), top });
  using root = kernel.open(rootfs, 0);
  const stat = (name: string) => kernel.statx(root.number, name, 0x100);
  const directory = stat("dir");
  assert.deepEqual([directory.mode, directory.uid, directory.gid], [0o1770, 7, 8]);
  assert.equal(directory.mtimeNs, 1_000_000_000_000_000_000n);
  const file = stat("dir/setuid");
  assert.deepEqual([file.mode, file.uid, file.nlink, file.size], [0o4755, 9, 2, 70_000n]);
  assert.equal(file.mtimeNs, 1_100_000_000_000_000_000n);
  assert.equal(stat("hard").inode, file.inode);
  assert.equal(kernel.readlinkat(root.number, "soft"), "dir/setuid");
  assert.deepEqual([stat("pipe").type, stat("pipe").mode, stat("pipe").gid], ["fifo", 0o666, 11]);
  assert.deepEqual([stat("null").rdevMajor, stat("null").rdevMinor], [1, 3]);
  // As with an overlay: it is there, and does not work.
  assert.throws(() => Deno.readTextFileSync(`${rootfs}/null`), /denied|permitted/i);
});

Deno.test("vfs snapshots follow whiteouts as every order of an archive means them", async () => {
  await using bench = await StorageBench.open({ driver: "vfs" });
  const base = await bench.apply(
    archive(
      { path: "a/below", content: "below" },
      { path: "b/below", content: "below" },
      { path: "c/below", content: "below" },
      { path: "d", content: "below" },
      { path: "e/f/below", content: "below" },
      { path: "link", type: "2", link: "e" },
    ),
  );
  const top = await bench.apply(
    archive(
      // Hidden, then made anew: nothing of below shows.
      { path: ".wh.a" },
      { path: "a/above", content: "above" },
      // Made, then hidden: the same.
      { path: "b/above", content: "above" },
      { path: ".wh.b" },
      { path: ".wh.c" },
      { path: "c", content: "a file now" },
      { path: "d", content: "above" },
      { path: ".wh.d" },
      { path: "e/.wh.f" },
      { path: "link/", type: "5" },
    ),
    base,
  );
  const rootfs = await bench.snapshots.prepare({ containerId: newContainerId(), top });
  const names = (path: string) =>
    [...Deno.readDirSync(`${rootfs}${path}`)].map((e) => e.name).sort();
  assert.deepEqual(names(""), ["a", "b", "c", "d", "e", "link"]);
  assert.deepEqual(names("/a"), ["above"]);
  assert.deepEqual(names("/b"), ["above"]);
  assert.equal(Deno.readTextFileSync(`${rootfs}/c`), "a file now");
  assert.equal(Deno.readTextFileSync(`${rootfs}/d`), "above");
  assert.deepEqual(names("/e"), []);
  assert.equal(Deno.lstatSync(`${rootfs}/link`).isDirectory, true);
});

Deno.test("vfs works on a file system that overlays cannot stand on", async () => {
  await using below = await StorageBench.open();
  const overlay = await below.snapshots.prepare({ containerId: newContainerId(), top: null });
  await using bench = await StorageBench.open({ driver: "vfs", parent: overlay });
  const base = await bench.apply(
    archive({ path: "gone", content: "1" }, { path: "dir/gone", content: "2" }),
  );
  const top = await bench.apply(archive({ path: ".wh.gone" }, { path: "dir/.wh..wh..opq" }), base);
  const rootfs = await bench.snapshots.prepare({ containerId: newContainerId(), top });
  assert.deepEqual([...Deno.readDirSync(rootfs)].map(({ name }) => name), ["dir"]);
  assert.deepEqual([...Deno.readDirSync(`${rootfs}/dir`)], []);
});

Deno.test("a vfs copy that is removed while it is made leaves nothing", async () => {
  await using bench = await StorageBench.open({ driver: "vfs" });
  const top = await bench.apply(
    archive(...Array.from({ length: 3_000 }, (_, i) => ({ path: `file${i}`, content: "x" }))),
  );
  const containerId = newContainerId();
  let ended = false;
  const prepared = bench.snapshots.prepare({ containerId, top })
    .then(() => {}, () => {}).finally(() => ended = true);
  // Some of the copy is there before it is told to end.
  while (!ended && !await hasEntries(`${bench.root}/snapshots/${containerId}/.copying`)) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await bench.snapshots.remove(containerId);
  await prepared;
  assert.deepEqual(await bench.snapshots.list(), []);
});

Deno.test("a vfs copy does not wait for images that come slowly", async () => {
  await using bench = await StorageBench.open({ driver: "vfs" });
  const top = await bench.apply(archive({ path: "file", content: "1" }));
  const stop = new AbortController();
  await Deno.mkdir(`${bench.directory}/slow`);
  // As many as there are places, and more.
  const slow = Array.from({ length: 8 }, () =>
    bench.workers.unpack({
      source: { kind: "http", stall: DEFAULT_STALL_RULE },
      compression: "none",
      blobDigest: `sha256:${"0".repeat(64)}`,
      blobSize: 1n,
      diffId: `sha256:${"0".repeat(64)}`,
      directory: `${bench.directory}/slow`,
      limits: DEFAULT_UNPACK_LIMITS,
      whiteouts: "archive",
    }, {
      signal: stop.signal,
      onProgress: () => {},
      places: { next: () => new Promise(() => {}) },
    }).catch(() => {}));
  const rootfs = await bench.snapshots.prepare({ containerId: newContainerId(), top });
  assert.equal(await Deno.readTextFile(`${rootfs}/file`), "1");
  stop.abort();
  bench.workers.terminate();
  await Promise.all(slow);
});

Deno.test("layers of one storage driver are not read by another", async () => {
  const bench = await StorageBench.open();
  try {
    const chainId = await bench.apply(archive({ path: "file", content: "1" }));
    await bench.close();
    await assert.rejects(
      StorageBench.open({ directory: bench.directory, driver: "vfs" }),
      (error) => {
        assert(error instanceof FailedPreconditionError);
        assert.match(error.message, /made by the overlay driver/);
        return true;
      },
    );
    await using again = await StorageBench.open({ directory: bench.directory });
    assert.notEqual(again.store.get(chainId), undefined);
  } finally {
    await Deno.remove(bench.directory, { recursive: true }).catch(() => {});
  }
});

async function hasEntries(path: string): Promise<boolean> {
  try {
    for await (const _ of Deno.readDir(path)) return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return false;
}
