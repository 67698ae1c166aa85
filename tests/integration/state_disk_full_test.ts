/** The record on a file system with 0 bytes free. Needs root for a loop mount. */
import assert from "node:assert/strict";
import { ResourceExhaustedError } from "../../src/errors/mod.ts";
import {
  DurableWriter,
  ImageState,
  PodState,
  RecordFiles,
  SpaceReserve,
} from "../../src/state/mod.ts";
import { createLinuxKernel } from "../../src/sys/mod.ts";
import { TestDisk } from "../support/test_disk.ts";

/** A file system of 64 MiB, mounted while the test runs. */
async function onSmallDisk(
  test: (root: string, fill: () => Promise<AsyncDisposable>) => Promise<void>,
): Promise<void> {
  await using disk = await TestDisk.make(64 << 20);
  await test(disk.mountpoint, () => disk.fill());
}

const BIG = { text: "x".repeat(8000) };

Deno.test("at 0 bytes free, records are removed and stopped, new ones refused, until space is back", () =>
  onSmallDisk(async (root, fill) => {
    await using writer = new DurableWriter();
    const kernel = createLinuxKernel();
    using reserve = new SpaceReserve({ path: `${root}/reserve`, kernel });
    assert.equal(reserve.report().reserve, "held");
    await using pods = PodState.open({
      path: `${root}/pods.db`,
      bootId: "b",
      checkpointer: writer,
      reserve,
    });
    const images = await ImageState.open({
      path: `${root}/images.db`,
      bootId: "b",
      writer,
      reserve,
    });
    const files = new RecordFiles({ directory: `${root}/pods`, kind: "sandbox", durable: false });
    for (let n = 0; n < 100; n++) {
      pods.sandboxes.put(`s${n}`, BIG);
      await images.images.put(`i${n}`, BIG);
    }
    await files.write({ id: "s0", value: BIG, resources: [] });
    reserve.assertSpace("Creating a container");

    const filler = await fill();
    assert.equal(kernel.statfs(root).blocksAvailable, 0n);
    assert.throws(() => reserve.assertSpace("Creating a container"), ResourceExhaustedError);

    for (let n = 0; n < 100; n++) {
      // A stop records a new state, a removal deletes: both write new pages of the log.
      pods.sandboxes.put(`s${n}`, { ...BIG, state: "stopped" });
      await images.images.put(`i${n}`, { ...BIG, untagged: true });
    }
    await reserve.releasing(() =>
      files.write({ id: "s0", value: { stopped: BIG }, resources: [] })
    );
    assert.equal(reserve.report().reserve, "released", "the disk was not full enough");
    for (let n = 0; n < 100; n++) {
      await pods.journal.forget(await pods.journal.intend(`s${n}`, "stop", {}));
      pods.sandboxes.delete(`s${n}`);
      await images.images.delete(`i${n}`);
    }
    assert.throws(() => reserve.assertSpace("Pulling an image"), /needs disk space/);

    await filler[Symbol.asyncDispose]();
    reserve.assertSpace("Pulling an image");
    assert.equal(reserve.report().reserve, "held");
    assert.deepEqual([pods.sandboxes.all(), images.images.all()], [[], []]);
    assert.deepEqual((await files.read("s0"))?.value, { stopped: BIG });
  }));

Deno.test("with the reserve used up, a write fails as exhausted and works when space is back", () =>
  onSmallDisk(async (root, fill) => {
    await using writer = new DurableWriter();
    const kernel = createLinuxKernel();
    using reserve = new SpaceReserve({ path: `${root}/reserve`, kernel, sizeBytes: 1 << 20 });
    await using pods = PodState.open({ path: `${root}/pods.db`, bootId: "b", reserve });
    const images = await ImageState.open({
      path: `${root}/images.db`,
      bootId: "b",
      writer,
      reserve,
    });
    const filler = await fill();
    let written = 0;
    assert.throws(() => {
      for (;; written++) pods.sandboxes.put(`s${written}`, BIG);
    }, ResourceExhaustedError);
    assert.ok(written > 20, `the reserve gave room for ${written} records`);
    await assert.rejects(async () => {
      for (let n = 0;; n++) await images.images.put(`i${n}`, BIG);
    }, ResourceExhaustedError);
    assert.equal(pods.sandboxes.all().length, written, "reading goes on, nothing half written");
    await filler[Symbol.asyncDispose]();
    pods.sandboxes.put("again", {});
    await images.images.put("again", {});
  }));

Deno.test("a start at 0 bytes free reads everything and can remove it", () =>
  onSmallDisk(async (root, fill) => {
    const kernel = createLinuxKernel();
    const session = async (
      test: (pods: PodState, images: ImageState, reserve: SpaceReserve) => Promise<void>,
    ) => {
      await using writer = new DurableWriter();
      using reserve = new SpaceReserve({ path: `${root}/reserve`, kernel });
      const shared = { bootId: "b", reserve };
      await using pods = PodState.open({
        path: `${root}/pods.db`,
        checkpointer: writer,
        ...shared,
      });
      const images = await ImageState.open({ path: `${root}/images.db`, writer, ...shared });
      await test(pods, images, reserve);
    };
    await session(async (pods, images) => {
      pods.sandboxes.put("s1", BIG);
      await images.images.put("i1", BIG);
    });
    await fill();
    await session(async (pods, images, reserve) => {
      assert.equal(reserve.report().full, true);
      assert.equal(pods.origin.kind, "existing");
      assert.deepEqual(pods.sandboxes.get("s1"), BIG);
      assert.deepEqual(images.images.get("i1"), BIG);
      pods.sandboxes.delete("s1");
      await images.images.delete("i1");
    });
  }));
