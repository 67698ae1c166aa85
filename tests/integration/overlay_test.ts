import assert from "node:assert/strict";
import { FailedPreconditionError } from "../../src/errors/mod.ts";
import { newContainerId } from "../../src/model/mod.ts";
import {
  createOverlaySnapshots,
  snapshotDirectoryType,
  snapshotIntent,
} from "../../src/storage/mod.ts";
import { archive } from "../../src/storage/testdata/tar_archive.ts";
import { snapshotsContract } from "./snapshots_contract.ts";
import { StorageBench } from "./storage_bench.ts";

snapshotsContract("overlay", async () => {
  const bench = await StorageBench.open();
  return {
    copies: false,
    snapshots: bench.snapshots,
    apply: (tar, parent = null) => bench.apply(tar, parent),
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
});

Deno.test("createOverlaySnapshots() says what to do where overlay mounts do not work", async () => {
  await using bench = await StorageBench.open();
  const { store: layers, workers, kernel } = bench;
  const rootfs = await bench.snapshots.prepare({ containerId: newContainerId(), top: null });
  const options = { runRoot: `${bench.directory}/run2`, layers, workers, kernel };
  // An overlay cannot be the upper layer of an overlay.
  await assert.rejects(createOverlaySnapshots({ ...options, root: rootfs }), (error) => {
    assert(error instanceof FailedPreconditionError);
    assert.match(error.details.remedy ?? "", /not on an overlay/);
    return true;
  });
  assert.deepEqual([...Deno.readDirSync(rootfs)].map(({ name }) => name), ["snapshots"]);
  await assert.rejects(
    createOverlaySnapshots({ ...options, root: `${bench.directory}/a:b` }),
    FailedPreconditionError,
  );
});

Deno.test("overlay mounts name their options and ignore device nodes of the image", async () => {
  await using bench = await StorageBench.open();
  const top = await bench.apply(archive({ path: "null", type: "3", major: 1, minor: 3 }));
  const containerId = newContainerId();
  const rootfs = await bench.snapshots.prepare({ containerId, top });
  const line = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n")
    .find((mount) => mount.includes(rootfs)) ?? "";
  for (const part of ["nodev", "redirect_dir=nofollow", `lowerdir=${bench.root}/layers/`]) {
    assert(line.includes(part), `${part} in ${line}`);
  }
  assert(!line.includes("volatile"));
  assert.throws(() => Deno.readTextFileSync(`${rootfs}/null`), /denied|permitted/i);
});

Deno.test("the undo of a snapshot's intent removes mount and directory, of whatever boot", async () => {
  await using bench = await StorageBench.open();
  const containerId = newContainerId();
  const { kind, payload } = snapshotIntent(containerId, null);
  const type = snapshotDirectoryType(bench.snapshots);
  assert.equal(type.kind, kind);
  for (const sameBoot of [true, false]) {
    await bench.snapshots.prepare({ containerId, top: null });
    const resource = { row: 1, owner: containerId, kind, payload, state: "done", bootId: "boot-1" };
    await type.undo(type.parse(payload), {
      resource: { ...resource, state: "done" },
      sameBoot,
      signal: new AbortController().signal,
    });
    assert.deepEqual(await bench.snapshots.list(), []);
  }
  assert.throws(() => type.parse({ containerId: "../../etc" }), /names no container/);
});

Deno.test("remove() succeeds while a program of the host has a file of the snapshot open", async () => {
  await using bench = await StorageBench.open();
  const containerId = newContainerId();
  const rootfs = await bench.snapshots.prepare({ containerId, top: null });
  using _file = await Deno.open(`${rootfs}/file`, { write: true, create: true });
  await bench.snapshots.remove(containerId);
  assert.deepEqual(await bench.snapshots.list(), []);
  assert(!(await Deno.readTextFile("/proc/self/mountinfo")).includes(containerId));
});
