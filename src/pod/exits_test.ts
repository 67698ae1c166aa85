import assert from "node:assert/strict";
import type { ContainerId } from "../model/mod.ts";
import { ContainerConfig, NamespaceMode } from "../proto/mod.ts";
import type { ContainerExit } from "../runtime/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import type { ContainerRecord, LiveContainer } from "./container.ts";
import { ExitTracker } from "./exits.ts";
import { KeyedMutex } from "./mutex.ts";
import { containerRecord, RUNNING, sandboxRecord } from "./_test_records.ts";

const EXIT: ContainerExit = {
  exitCode: 0,
  finishedAtNs: 10n,
  oomKilled: false,
  monitorLost: false,
};

/** A container in a PID namespace of that mode, which ends when it is told to. */
function ending(pid: NamespaceMode) {
  const sandbox = sandboxRecord({ kind: "ready", ips: [] });
  let record: ContainerRecord = {
    ...containerRecord(RUNNING, { sandboxId: sandbox.id }),
    config: ContainerConfig.fromPartial({
      linux: { securityContext: { namespaceOptions: { pid } } },
    }),
  };
  const { promise: killed, resolve, reject } = Promise.withResolvers<void>();
  const heard: ContainerId[] = [];
  const asked: ContainerId[] = [];
  let end = (_exit: ContainerExit) => {};
  const tracker = new ExitTracker({
    registry: {
      container: () => record,
      sandbox: () => sandbox,
      putContainer: (next: ContainerRecord) => void (record = next),
    } as never,
    runtime: {
      watchExit: (_place, _created, onExit) => {
        end = onExit;
        return { [Symbol.dispose]() {} };
      },
      endProcesses: ({ id }) => {
        asked.push(id);
        return killed;
      },
    },
    mutex: new KeyedMutex(),
    log: silentLogger,
    onExited: (id) => void heard.push(id),
  });
  tracker.watch(record as LiveContainer);
  return {
    state: () => record.state.kind,
    end: () => end(EXIT),
    ended: () => tracker.ended(record.id),
    killed: resolve,
    staying: reject,
    heard,
    asked,
  };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("in a PID namespace that it shares a container has not ended while something of it runs", async () => {
  for (const mode of [NamespaceMode.POD, NamespaceMode.NODE, NamespaceMode.TARGET]) {
    const container = ending(mode);
    const ended = container.ended();
    container.end();
    await turn();
    assert.deepEqual([container.state(), container.heard], ["running", []], NamespaceMode[mode]);
    container.killed();
    await ended;
    assert.deepEqual([container.state(), container.heard.length], ["exited", 1]);
  }
});

Deno.test("the end of a container is told although processes of it do not end", async () => {
  const container = ending(NamespaceMode.POD);
  const ended = container.ended();
  container.end();
  container.staying(new Error("in an uninterruptible wait"));
  await ended;
  assert.equal(container.state(), "exited");
});

Deno.test("with a PID namespace of its own the kernel has ended everything already", async () => {
  const container = ending(NamespaceMode.CONTAINER);
  const ended = container.ended();
  container.end();
  await ended;
  assert.deepEqual([container.state(), container.asked], ["exited", []]);
});
