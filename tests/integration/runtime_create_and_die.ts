/**
 * A server that is killed while it creates a container: started by `runtime_death_test.ts` with the
 * runtime's options, the place and the milliseconds between the monitor's start and the kill.
 *
 * @module
 */
import { SystemClock } from "../../src/model/mod.ts";
import { type ContainerPlace, OciRuntime, type RuntimeOptions } from "../../src/runtime/mod.ts";
import {
  ByteDescriptors,
  Cgroups,
  createLinuxKernel,
  detectNodeFacts,
  InotifyWatcher,
  NodeProcessRunner,
  PidfdWatcher,
  PosixSpawner,
  PrivateSystemd,
  type ProcessRunner,
  ProcTable,
} from "../../src/sys/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

const { options, place, delayMs } = JSON.parse(Deno.args[0] ?? "") as {
  options: RuntimeOptions;
  place: ContainerPlace;
  delayMs: number;
};

function die(): void {
  Deno.kill(Deno.pid, "SIGKILL");
}

const kernel = createLinuxKernel();
const processes = new ProcTable(kernel);
const real = new NodeProcessRunner();
const runner: ProcessRunner = {
  run: (command) => real.run(command),
  spawn: (command) => {
    const spawned = real.spawn(command);
    if (delayMs === 0) die();
    else setTimeout(die, delayMs);
    return spawned;
  },
};
const runtime = await OciRuntime.open(options, {
  kernel,
  descriptors: new ByteDescriptors(kernel),
  cgroups: new Cgroups({ kernel, layout: detectNodeFacts().cgroups }),
  runner,
  orphans: new PosixSpawner(kernel),
  files: new InotifyWatcher(kernel),
  processes,
  processWatcher: new PidfdWatcher({ kernel, processes }),
  units: new PrivateSystemd(),
  clock: new SystemClock(),
  log: silentLogger,
});
await runtime.create(
  { place, name: "orphan", terminal: false, stdin: false, stdinOnce: false },
  AbortSignal.timeout(60_000),
);
