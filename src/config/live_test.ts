import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { builtInHandler, type Configuration, defaultConfiguration } from "./configuration.ts";
import { LiveConfiguration } from "./live.ts";
import type { LoadedConfiguration } from "./load.ts";
import type { Notice } from "./merged.ts";

function loaded(
  change: (draft: Draft) => void = () => {},
  notices: readonly Notice[] = [],
): LoadedConfiguration {
  const configuration = structuredClone(defaultConfiguration()) as Draft;
  change(configuration);
  return {
    configuration: configuration as Configuration,
    flavour: "sauropod",
    notices,
    sources: new Map(),
    files: [],
    places: [],
  };
}

// deno-lint-ignore ban-types
type Mutable<T> = T extends Function ? T : { -readonly [K in keyof T]: Mutable<T[K]> };
type Draft = Mutable<Configuration>;

function liveWith(...later: LoadedConfiguration[]): LiveConfiguration {
  return new LiveConfiguration(loaded(), () => Promise.resolve(later.shift() ?? loaded()));
}

Deno.test("LiveConfiguration.reload() takes what may change and names what needs a restart", async () => {
  const live = liveWith(loaded((draft) => {
    draft.runtime.log_level = "debug";
    draft.image.pinned_images = ["a", "b"];
    draft.base.root = "/elsewhere";
    draft.network.network_dir = "/elsewhere";
  }));
  const report = await live.reload();
  assert.deepEqual(report.changed, ["runtime.log_level", "image.pinned_images"]);
  assert.deepEqual([...report.needRestart].sort(), ["network.network_dir", "root"]);
  const { runtime, image, base } = live.current;
  assert.deepEqual([runtime.log_level, image.pinned_images], ["debug", ["a", "b"]]);
  assert.equal(base.root, defaultConfiguration().base.root);
});

Deno.test("LiveConfiguration.reload() adds, changes and removes handlers, but moves no root", async () => {
  const live = liveWith(loaded((draft) => {
    const crun = draft.runtime.runtimes["crun"]!;
    crun.runtime_root = "/moved";
    crun.privileged_without_host_devices = true;
    draft.runtime.runtimes["runc"] = builtInHandler("runc") as Mutable<typeof crun>;
  }));
  const report = await live.reload();
  assert.deepEqual(report.changed, ["runtime.runtimes.crun", "runtime.runtimes.runc"]);
  assert.deepEqual(report.needRestart, ["runtime.runtimes.crun.runtime_root"]);
  const { crun } = live.current.runtime.runtimes;
  assert.deepEqual([crun?.runtime_root, crun?.privileged_without_host_devices], [
    "/run/crun",
    true,
  ]);
  assert.deepEqual((await live.reload()).changed, [
    "runtime.runtimes.crun",
    "runtime.runtimes.runc",
  ]);
  assert.deepEqual(Object.keys(live.current.runtime.runtimes), ["crun"]);
});

Deno.test("LiveConfiguration.reload() changes nothing if a file is wrong or a part is not ready", async () => {
  const changed = (draft: Draft) => void (draft.runtime.log_level = "debug");
  const wrong: Notice = { level: "error", key: "runtime.log_level", message: "it is wrong" };
  const live = liveWith(loaded(changed, [wrong]), loaded(changed), loaded(changed));
  const seen: string[] = [];
  let ready = false;
  live.add({
    prepare: ({ runtime }) => Promise.resolve(() => void seen.push(`first ${runtime.log_level}`)),
  });
  live.add({
    prepare: () =>
      ready
        ? Promise.resolve(() => void seen.push(`second ${live.current.runtime.log_level}`))
        : Promise.reject(new FailedPreconditionError("no such program")),
  });
  await assert.rejects(live.reload(), /it is wrong/);
  await assert.rejects(live.reload(), /no such program/);
  assert.equal(live.current.runtime.log_level, "info");
  assert.deepEqual(seen, []);
  ready = true;
  await live.reload();
  assert.deepEqual(seen, ["first debug", "second debug"]);
});
