import assert from "node:assert/strict";
import type { ContainerPlace } from "../../src/runtime/mod.ts";
import { HANG_MS, RuntimeFixture } from "./runtime_fixture.ts";

const options = { sanitizeOps: false, sanitizeResources: false };

async function createAndDie(
  fixture: RuntimeFixture,
  place: ContainerPlace,
  delayMs: number,
): Promise<void> {
  const script = new URL("./runtime_create_and_die.ts", import.meta.url);
  const { signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--allow-all",
      "--unstable-ffi",
      script.pathname,
      JSON.stringify({ options: fixture.options, place, delayMs }),
    ],
    stdout: "null",
    stderr: "piped",
  }).output();
  assert.equal(signal, "SIGKILL", new TextDecoder().decode(stderr));
}

Deno.test(
  "a container whose server was killed before the monitor reported keeps its monitor",
  options,
  async () => {
    await using fixture = await RuntimeFixture.open();
    for (const delayMs of [0, 5, 15]) {
      const place = await fixture.place({ args: ["sh", "-c", "exit 6"] });
      await createAndDie(fixture, place, delayMs);
      const giveUp = performance.now() + HANG_MS;
      let state = await fixture.runtime.inspect(place);
      while (state?.status !== "created" || state.monitor === undefined) {
        assert.ok(performance.now() < giveUp, "the container was not created");
        await new Promise((resolve) => setTimeout(resolve, 20));
        state = await fixture.runtime.inspect(place);
      }
      // Long enough for a monitor that dies of its broken pipe to do so.
      await new Promise((resolve) => setTimeout(resolve, 200));
      const { init, monitor } = state;
      assert.ok(init !== undefined && fixture.processes.isAlive(monitor), `${delayMs} ms`);
      const exited = fixture.watch(place, { init, monitor });
      await fixture.runtime.start(place, AbortSignal.timeout(HANG_MS));
      const exit = await exited;
      assert.deepEqual([exit.exitCode, exit.monitorLost], [6, false]);
    }
  },
);

Deno.test("what a killed server began to create can be removed at once", options, async () => {
  await using fixture = await RuntimeFixture.open();
  for (const delayMs of [0, 2, 10, 20]) {
    const place = await fixture.place({ args: ["sleep", "1000"] });
    await createAndDie(fixture, place, delayMs);
    await fixture.remove(place);
    // Nothing of it may come to life afterwards.
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(await fixture.runtime.inspect(place), undefined);
    const left = [...Deno.readDirSync("/proc")].filter(({ name }) => {
      try {
        return /^\d+$/.test(name) &&
          Deno.readTextFileSync(`/proc/${name}/cmdline`).includes(place.id) &&
          !/\) [ZX]/.test(Deno.readTextFileSync(`/proc/${name}/stat`));
      } catch {
        return false;
      }
    });
    assert.deepEqual(left, [], `${delayMs} ms`);
  }
});
