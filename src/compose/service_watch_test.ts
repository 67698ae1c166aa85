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

Deno.test("a node without a network is alive: no restart brings a configuration back", async () => {
  const { states, notify, told } = manager();
  const network = [true, false];
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: 1_001 },
    notify,
    conditions: () =>
      Promise.resolve([
        condition("RuntimeReady", true),
        condition("NetworkReady", network.shift() ?? false),
      ]),
    log: silentLogger,
  });
  await watch.ready("Serving");
  await told("watchdog");
  await told("watchdog");
  await told("watchdog");
  assert.deepEqual(states, ["ready", "watchdog", "watchdog", "watchdog"]);
});

Deno.test("a runtime that is not ready, or does not say so, gives no sign of life", async () => {
  const { states, notify } = manager();
  const answers = [[condition("RuntimeReady", false)], [condition("NetworkReady", true)]];
  const done = Promise.withResolvers<void>();
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: 1_001 },
    notify,
    conditions: () => {
      const answer = answers.shift();
      if (answer === undefined) done.resolve();
      return Promise.resolve(answer ?? []);
    },
    log: silentLogger,
  });
  await watch.ready("Serving");
  await done.promise;
  assert.deepEqual(states, ["ready"]);
});

Deno.test("one bad answer, however late, leaves the next sign of life within the interval", async () => {
  const watchdogMs = 90_000;
  let nowMs = 0;
  const signs: number[] = [];
  const done = Promise.withResolvers<void>();
  const good = [true, false, true, false, true];
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs },
    notify: ({ kind }) => {
      if (kind === "ready" || kind === "watchdog") signs.push(nowMs);
      return Promise.resolve();
    },
    // Every question takes all the time that it has.
    conditions: (timeoutMs) => {
      nowMs += timeoutMs;
      return good.shift()
        ? Promise.resolve([condition("RuntimeReady", true)])
        : Promise.reject(new Error("deadline exceeded"));
    },
    timers: {
      after(ms, act) {
        nowMs += ms;
        if (good.length === 0) done.resolve();
        else queueMicrotask(act);
        return { [Symbol.dispose]: () => {} };
      },
    },
    log: silentLogger,
  });
  await watch.ready("Serving");
  await done.promise;
  const gaps = signs.slice(1).map((sign, index) => sign - signs[index]!);
  assert.equal(gaps.length, 3);
  for (const gap of gaps) assert.ok(gap < watchdogMs, `${gap} ms`);
});

Deno.test("a reading of the configuration that the end overtakes does not call the server ready", async () => {
  const { states, notify } = manager();
  using watch = new ServiceWatch({
    environment: { notifySocket: "@x", watchdogMs: undefined },
    notify,
    conditions: () => assert.fail("nobody asked for a watchdog"),
    log: silentLogger,
  });
  await watch.ready("Serving");
  await watch.reloading("Serving", () => watch.stopping());
  assert.deepEqual(states, ["ready", "reloading", "stopping"]);
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
