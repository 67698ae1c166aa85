import assert from "node:assert/strict";
import type { Cgroups, SystemdUnits } from "../sys/mod.ts";
import { podCgroups, thermalThrottlePaths } from "./ports.ts";

Deno.test("thermalThrottlePaths() names those of the processors that have one", () => {
  const directory = Deno.makeTempDirSync();
  try {
    for (const path of ["cpu0/thermal_throttle", "cpu11/thermal_throttle", "cpu2", "cpufreq"]) {
      Deno.mkdirSync(`${directory}/${path}`, { recursive: true });
    }
    assert.deepEqual(
      thermalThrottlePaths(directory),
      ["cpu0", "cpu11"].map((cpu) => `${directory}/${cpu}/thermal_throttle`),
    );
    assert.deepEqual(thermalThrottlePaths(`${directory}/none`), []);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

/** Slices that systemd makes and removes, each when the test lets it. */
function fakeSlices(there: Set<string>, stopping?: Promise<void>) {
  const pathOf = (unit: string) => `/${unit}`;
  const cgroups = {
    exists: (path: string) => there.has(path),
    children: () => [],
    pids: () => [],
    create: () => {},
    removeEmpty: () => {},
  };
  const units: SystemdUnits = {
    startScope: () => Promise.resolve(),
    startSlice: (name) => Promise.resolve(void there.add(pathOf(name))),
    stop: async (name) => {
      await stopping;
      there.delete(pathOf(name));
    },
  };
  return podCgroups(cgroups as unknown as Cgroups, units);
}

Deno.test("a slice that goes while a pod wants it is made again, not counted as there", async () => {
  const there = new Set(["/pod1.slice"]);
  const { promise, resolve } = Promise.withResolvers<void>();
  const cgroups = fakeSlices(there, promise);
  const { signal } = new AbortController();
  const going = cgroups.removeEmpty(["/pod1.slice"], () => false, signal);
  const coming = cgroups.create("/pod1.slice", signal);
  resolve();
  await Promise.all([going, coming]);
  assert.deepEqual([...there], ["/pod1.slice"]);
});

Deno.test("an empty slice that a pod claims is not stopped", async () => {
  const there = new Set(["/pod1.slice", "/pod2.slice"]);
  const { signal } = new AbortController();
  await fakeSlices(there).removeEmpty([...there], (path) => path === "/pod1.slice", signal);
  assert.deepEqual([...there], ["/pod1.slice"]);
});

Deno.test("a slice that systemd does not end holds up nobody for longer than they wait", async () => {
  const there = new Set(["/pod1.slice"]);
  const { promise, resolve } = Promise.withResolvers<void>();
  const cgroups = fakeSlices(there, promise);
  const { signal } = new AbortController();
  const going = cgroups.removeEmpty(["/pod1.slice"], () => false, signal);
  const patience = new AbortController();
  const late = new Error("the stage's time is over");
  const coming = cgroups.create("/pod2.slice", patience.signal);
  const leaving = cgroups.removeEmpty(["/pod3.slice"], () => false, patience.signal);
  patience.abort(late);
  await assert.rejects(coming, late);
  await assert.rejects(leaving, late);
  resolve();
  await going;
  await cgroups.create("/pod2.slice", signal);
  assert.deepEqual([...there], ["/pod2.slice"]);
});
