import assert from "node:assert/strict";
import type { RuntimeCondition } from "../proto/mod.ts";
import type { ServiceState } from "../sys/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { ServiceWatch } from "./service_watch.ts";

/** Records what the manager is told; `told(kind)` resolves at the next of that kind. */
function manager() {
  const states: string[] = [];
  const waiting: { readonly kind: string; readonly resolve: () => void }[] = [];
  return {
    states,
    notify: (state: ServiceState) => {
      states.push(state.kind);
      for (const { kind, resolve } of waiting.splice(0)) if (kind === state.kind) resolve();
      return Promise.resolve();
    },
    told: (kind: ServiceState["kind"]) =>
      new Promise<void>((resolve) => waiting.push({ kind, resolve })),
  };
}

function condition(type: string, status: boolean): RuntimeCondition {
  return { type, status, reason: "", message: "" };
}

Deno.test("signs of life follow readiness and end with stopping", async () => {
  const { states, notify, told } = manager();
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: 1_001 },
    notify,
    conditions: () => Promise.resolve([condition("RuntimeReady", true)]),
    log: silentLogger,
  });
  await watch.ready("Serving");
  await told("watchdog");
  await told("watchdog");
  await watch.stopping();
  assert.deepEqual(states, ["ready", "watchdog", "watchdog", "stopping"]);
});

Deno.test("a network that was never ready is waited for, one that was lost is not", async () => {
  const { states, notify, told } = manager();
  const asked: boolean[] = [];
  const network = [false, true, false, false];
  const done = Promise.withResolvers<void>();
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: 1_001 },
    notify,
    conditions: () => {
      const status = network[asked.length] ?? false;
      asked.push(status);
      if (asked.length > network.length) done.resolve();
      return Promise.resolve([condition("RuntimeReady", true), condition("NetworkReady", status)]);
    },
    log: silentLogger,
  });
  await watch.ready("Serving");
  await told("watchdog");
  await done.promise;
  assert.deepEqual(states, ["ready", "watchdog", "watchdog"]);
});

Deno.test("a server that does not answer itself gives no sign of life", async () => {
  const { states, notify } = manager();
  let asked = 0;
  const twice = Promise.withResolvers<void>();
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: 1_001 },
    notify,
    conditions: () => {
      if (++asked === 3) twice.resolve();
      return Promise.reject(new Error("deadline exceeded"));
    },
    log: silentLogger,
  });
  await watch.ready("Serving");
  await twice.promise;
  assert.deepEqual(states, ["ready"]);
});

Deno.test("without a watchdog, or with one of a second, only the states are told", async () => {
  for (const watchdogMs of [undefined, 1_000]) {
    const { states, notify } = manager();
    using watch = new ServiceWatch({
      environment: { notifySocket: "@x", watchdogMs },
      notify,
      conditions: () => assert.fail("nobody asked for a watchdog"),
      log: silentLogger,
    });
    await watch.ready("Serving");
    await assert.rejects(
      watch.reloading("Serving", () => Promise.reject(new Error("bad file"))),
      /bad file/,
    );
    await watch.stopping();
    assert.deepEqual(states, ["ready", "reloading", "ready", "stopping"]);
  }
});
