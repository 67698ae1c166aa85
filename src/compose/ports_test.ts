import assert from "node:assert/strict";
import { thermalThrottlePaths } from "./ports.ts";

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
