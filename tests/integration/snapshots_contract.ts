/**
 * What every storage driver promises: the cases of `Snapshots`, run against any implementation.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type ChainId, newContainerId } from "../../src/model/mod.ts";
import type { Snapshots } from "../../src/storage/mod.ts";
import { archive } from "../../src/storage/testdata/tar_archive.ts";

/** A driver under test and the layers to test it with. */
export interface SnapshotsUnderTest extends AsyncDisposable {
  /** The image's files count as the container's, since it has copies of its own. */
  readonly copies: boolean;
  readonly snapshots: Snapshots;
  /** Applies an archive on top of a layer. */
  apply(tar: Uint8Array<ArrayBuffer>, parent?: ChainId | null): Promise<ChainId>;
}

/** Declares the cases for one driver. */
export function snapshotsContract(driver: string, open: () => Promise<SnapshotsUnderTest>): void {
  const contract = (promise: string, test: (subject: SnapshotsUnderTest) => Promise<void>) =>
    Deno.test(`${driver} snapshots: ${promise}`, async () => {
      await using subject = await open();
      await test(subject);
    });

  contract(
    "prepare() shows the layers, keeps writes apart and may be repeated",
    async (subject) => {
      const { snapshots } = subject;
      const base = await subject.apply(
        archive(
          { path: "./", type: "5", mode: 0o751, uid: 3, gid: 4 },
          { path: "kept", content: "below" },
          { path: "changed", content: "below" },
          { path: "gone", content: "below" },
          { path: "dir/", type: "5" },
          { path: "dir/inner", content: "below" },
        ),
      );
      const top = await subject.apply(
        archive(
          { path: "changed", content: "above" },
          { path: ".wh.gone" },
          { path: "dir/.wh..wh..opq" },
          { path: "dir/new", content: "above" },
        ),
        base,
      );
      const [one, two] = [newContainerId(), newContainerId()];
      const rootfs = await snapshots.prepare({ containerId: one, top });
      assert.equal(rootfs, snapshots.rootfsPath(one));
      assert.equal(await snapshots.prepare({ containerId: one, top }), rootfs);
      assert.deepEqual(namesIn(rootfs), ["changed", "dir", "kept"]);
      assert.deepEqual(namesIn(`${rootfs}/dir`), ["new"]);
      assert.equal(await Deno.readTextFile(`${rootfs}/changed`), "above");
      // The root is that of the image: from the topmost layer that describes it.
      const { mode, uid, gid } = await Deno.stat(rootfs);
      assert.deepEqual([(mode ?? 0) & 0o7777, uid, gid], [0o751, 3, 4]);

      await Deno.writeTextFile(`${rootfs}/changed`, "mine");
      await Deno.remove(`${rootfs}/kept`);
      const other = await snapshots.prepare({ containerId: two, top });
      assert.equal(await Deno.readTextFile(`${other}/changed`), "above");
      assert.equal(await Deno.readTextFile(`${other}/kept`), "below");
    },
  );

  contract("unmount() keeps the writable layer, prepare() shows it again", async (subject) => {
    const { snapshots } = subject;
    const top = await subject.apply(archive({ path: "file", content: "below" }));
    const containerId = newContainerId();
    const rootfs = await snapshots.prepare({ containerId, top });
    await Deno.writeTextFile(`${rootfs}/file`, "mine");
    await snapshots.unmount(containerId);
    await snapshots.unmount(containerId);
    assert.deepEqual(await snapshots.list(), [containerId]);
    await snapshots.prepare({ containerId, top });
    assert.equal(await Deno.readTextFile(`${rootfs}/file`), "mine");
  });

  contract(
    "remove() takes all away, may be repeated, and succeeds for nothing",
    async (subject) => {
      const { snapshots } = subject;
      const top = await subject.apply(archive({ path: "file", content: "below" }));
      const containerId = newContainerId();
      await snapshots.remove(containerId);
      const rootfs = await snapshots.prepare({ containerId, top });
      await Deno.mkdir(`${rootfs}/deep/er`, { recursive: true });
      await snapshots.remove(containerId);
      await snapshots.remove(containerId);
      assert.deepEqual(await snapshots.list(), []);
      await assert.rejects(Deno.stat(rootfs), Deno.errors.NotFound);
      assert(!(await Deno.readTextFile("/proc/self/mountinfo")).includes(containerId));
      // The same container begins anew.
      await snapshots.prepare({ containerId, top });
      assert.deepEqual(namesIn(rootfs), ["file"]);
    },
  );

  contract("an image without layers gets an empty directory of its own", async (subject) => {
    const { snapshots } = subject;
    const [one, two] = [newContainerId(), newContainerId()];
    const [a, b] = [
      await snapshots.prepare({ containerId: one, top: null }),
      await snapshots.prepare({ containerId: two, top: null }),
    ];
    await Deno.writeTextFile(`${a}/file`, "mine");
    assert.deepEqual(namesIn(b), []);
    assert.equal((await Deno.stat(b)).mode! & 0o7777, 0o755);
  });

  contract("an image may have 128 layers", async (subject) => {
    let top: ChainId | null = null;
    for (let i = 0; i < 128; i++) {
      top = await subject.apply(archive({ path: `file${i}`, content: `${i}` }), top);
    }
    const containerId = newContainerId();
    const rootfs = await subject.snapshots.prepare({ containerId, top });
    assert.equal(namesIn(rootfs).length, 128);
    assert.equal(await Deno.readTextFile(`${rootfs}/file0`), "0");
    assert.equal(await Deno.readTextFile(`${rootfs}/file127`), "127");
  });

  contract("a layer may hide all layers below it", async (subject) => {
    const base = await subject.apply(archive({ path: "below", content: "1" }));
    const top = await subject.apply(
      archive({ path: ".wh..wh..opq" }, { path: "above", content: "2" }),
      base,
    );
    const rootfs = await subject.snapshots.prepare({ containerId: newContainerId(), top });
    assert.deepEqual(namesIn(rootfs), ["above"]);
  });

  contract("usage() counts layers once and writable layers as they grow", async (subject) => {
    const { snapshots } = subject;
    const before = await snapshots.usage();
    const top = await subject.apply(archive({ path: "file", content: new Uint8Array(1 << 20) }));
    const containerId = newContainerId();
    const rootfs = await snapshots.prepare({ containerId, top });
    await Deno.writeFile(`${rootfs}/mine`, crypto.getRandomValues(new Uint8Array(65536)));
    const { images, containers } = await snapshots.usage();
    assert(images.usedBytes - before.images.usedBytes >= 1n << 20n);
    assert.equal(images.inodesUsed - before.images.inodesUsed, 2n);
    assert(containers.usedBytes >= 65536n);
    assert.equal(containers.inodesUsed, subject.copies ? 3n : 2n);
    await snapshots.remove(containerId);
    assert.equal((await snapshots.usage()).containers.usedBytes, 0n);
  });
}

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}
