import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { InotifyWatcher } from "./file_watcher.ts";
import { createLinuxKernel } from "./linux.ts";
import type { FileEvent } from "./watching.ts";

const kernel = createLinuxKernel();

/** Collects events until one satisfies `last`. */
function collect(last: (event: FileEvent) => boolean) {
  const events: FileEvent[] = [];
  const { promise, resolve } = Promise.withResolvers<FileEvent[]>();
  return {
    all: promise,
    onEvent: (event: FileEvent) => {
      events.push(event);
      if (last(event)) resolve(events);
    },
  };
}

Deno.test("watchDirectory() tells of written, moved, created and removed entries in order", async () => {
  const root = await Deno.makeTempDir();
  using watcher = new InotifyWatcher(kernel);
  const seen = collect((event) => event.kind === "removed" && event.name === "b");
  using _watch = watcher.watchDirectory(root, seen.onEvent);
  await Deno.writeTextFile(`${root}/a`, "x");
  await Deno.rename(`${root}/a`, `${root}/b`);
  await Deno.mkdir(`${root}/d`);
  await Deno.remove(`${root}/b`);
  assert.deepEqual(await seen.all, [
    { kind: "created", name: "a" },
    { kind: "written", name: "a" },
    { kind: "removed", name: "a" },
    { kind: "movedTo", name: "b" },
    { kind: "created", name: "d" },
    { kind: "removed", name: "b" },
  ]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("two listeners of one directory are independent", async () => {
  const root = await Deno.makeTempDir();
  using watcher = new InotifyWatcher(kernel);
  const seen = collect((event) => event.kind === "written");
  const first = watcher.watchDirectory(root, () => assert.fail("told a disposed watch"));
  using _second = watcher.watchDirectory(root, seen.onEvent);
  first[Symbol.dispose]();
  await Deno.writeTextFile(`${root}/a`, "x");
  await seen.all;
  await Deno.remove(root, { recursive: true });
});

Deno.test("a directory that goes away asks for a rescan", async () => {
  const root = await Deno.makeTempDir();
  using watcher = new InotifyWatcher(kernel);
  const seen = collect((event) => event.kind === "rescan");
  using _watch = watcher.watchDirectory(root, seen.onEvent);
  await Deno.remove(root);
  assert.deepEqual((await seen.all).at(-1), { kind: "rescan" });
});

Deno.test("events lost in a flood ask for a rescan", async () => {
  const root = await Deno.makeTempDir();
  using watcher = new InotifyWatcher(kernel);
  const limit = Number(await Deno.readTextFile("/proc/sys/fs/inotify/max_queued_events"));
  const seen = collect((event) => event.kind === "rescan");
  using _watch = watcher.watchDirectory(root, seen.onEvent);
  // Synchronous, so that nobody reads the queue meanwhile; names differ, or the kernel merges them.
  for (let i = 0; i < limit; i++) {
    Deno.writeFileSync(`${root}/${i}`, new Uint8Array());
    Deno.removeSync(`${root}/${i}`);
    if (i * 3 > limit + 1000) break;
  }
  await seen.all;
  await Deno.remove(root, { recursive: true });
});

Deno.test("a missing directory cannot be watched", () => {
  using watcher = new InotifyWatcher(kernel);
  assert.throws(() => watcher.watchDirectory("/no/such/dir", () => {}), SyscallError);
});
