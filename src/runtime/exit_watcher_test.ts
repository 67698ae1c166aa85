import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { SystemClock } from "../model/mod.ts";
import { createLinuxKernel, errnoNumber } from "../sys/mod.ts";
import type { Kernel } from "../sys/kernel.ts";
import type { FileEvent, ProcessIdentity } from "../sys/watching.ts";
import type { ContainerExit, ContainerPlace } from "./containers_runtime.ts";
import { ExitWatcher } from "./exit_watcher.ts";

const linux = createLinuxKernel();
const ID = "c".repeat(64);
const INIT: ProcessIdentity = { pid: 11, startTime: "1", bootId: "b" };
const MONITOR: ProcessIdentity = { pid: 12, startTime: "1", bootId: "b" };

function full(): SyscallError {
  return new SyscallError("open", errnoNumber("EMFILE"), "EMFILE", "a file");
}

interface Watching {
  readonly exitsDir: string;
  /** Descriptors that can still be made; those of files that are not there need none. */
  descriptors: number;
  /** Watches of processes that were made and not given back. */
  readonly watched: Map<ProcessIdentity, () => void>;
  watch(): Disposable;
  /** The end of the container as it is told. */
  readonly exit: Promise<ContainerExit>;
  readonly told: ContainerExit[];
  onFile(event: FileEvent): void;
}

async function watching(body: (watching: Watching) => Promise<void>): Promise<void> {
  const exitsDir = await Deno.makeTempDir();
  const exit = Promise.withResolvers<ContainerExit>();
  const place = { id: ID, bundle: `${exitsDir}/bundle`, cgroupPath: "/c" } as ContainerPlace;
  const take = () => {
    if (state.descriptors === 0) throw full();
    state.descriptors--;
  };
  const kernel: Kernel = {
    ...linux,
    open: (...args) => {
      const file = linux.open(...args);
      try {
        take();
        return file;
      } catch (error) {
        file.close();
        throw error;
      }
    },
  };
  const state: Watching = {
    exitsDir,
    descriptors: Infinity,
    watched: new Map(),
    told: [],
    exit: exit.promise,
    onFile: () => assert.fail("nobody watches the exits"),
    watch: () =>
      watcher.watch(place, { init: INIT, monitor: MONITOR }, (told) => {
        state.told.push(told);
        exit.resolve(told);
      }),
  };
  using watcher = new ExitWatcher({
    exitsDir,
    kernel,
    files: {
      watchDirectory: (_path, onEvent) => {
        state.onFile = onEvent;
        return { [Symbol.dispose]: () => {} };
      },
      [Symbol.dispose]: () => {},
    },
    processes: {
      watchExit: (process, onExit) => {
        take();
        state.watched.set(process, onExit);
        return { [Symbol.dispose]: () => void state.watched.delete(process) };
      },
      [Symbol.dispose]: () => {},
    },
    oomKills: () => 0,
    cgroupsBelow: () => [],
    clock: new SystemClock(),
  });
  try {
    await body(state);
  } finally {
    await Deno.remove(exitsDir, { recursive: true });
  }
}

Deno.test("a monitor that ends needs no further descriptor for the container that runs on", () =>
  watching(async (state) => {
    using _watch = state.watch();
    state.descriptors = 0;
    state.watched.get(MONITOR)?.();
    assert.deepEqual(state.told, []);
    state.watched.get(INIT)?.();
    assert.deepEqual(
      { ...await state.exit, finishedAtNs: 0n },
      { exitCode: 255, finishedAtNs: 0n, oomKilled: false, monitorLost: true },
    );
    assert.equal(state.watched.size, 0);
  }));

Deno.test("an exit file that cannot be read for a while is no lost monitor", () =>
  watching(async (state) => {
    using _watch = state.watch();
    await Deno.writeTextFile(`${state.exitsDir}/${ID}`, "3");
    state.descriptors = 0;
    state.onFile({ kind: "movedTo", name: ID });
    state.watched.get(INIT)?.();
    state.watched.get(MONITOR)?.();
    // The watch's own first look comes before this.
    await new Promise((resolve) => setTimeout(resolve));
    assert.deepEqual(state.told, []);
    state.descriptors = Infinity;
    const { exitCode, monitorLost } = await state.exit;
    assert.deepEqual({ exitCode, monitorLost }, { exitCode: 3, monitorLost: false });
    assert.equal(state.told.length, 1);
  }));

Deno.test("a watch for which there are no descriptors leaves nothing, and can be made later", () =>
  watching(async (state) => {
    for (const descriptors of [0, 1]) {
      state.descriptors = descriptors;
      assert.throws(() => state.watch(), { code: "EMFILE" });
      assert.equal(state.watched.size, 0);
    }
    state.descriptors = Infinity;
    using _watch = state.watch();
    await Deno.writeTextFile(`${state.exitsDir}/${ID}`, "0");
    state.onFile({ kind: "movedTo", name: ID });
    assert.equal((await state.exit).exitCode, 0);
    assert.equal(state.told.length, 1);
  }));
