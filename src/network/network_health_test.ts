import assert from "node:assert/strict";
import { UnavailableError } from "../errors/mod.ts";
import { NetworkHealth } from "./network_health.ts";
import type { NetworkReadiness } from "./networks.ts";

/** A network whose configuration and plugins say what a test wants, at a time that it sets. */
class Node {
  configured: NetworkReadiness = { ready: true };
  status: () => Promise<void> = () => Promise.resolve();
  nowMs = 0;
  asked = 0;

  health(gracePeriodMs = 0): NetworkHealth {
    return new NetworkHealth({
      networks: {
        readiness: () => this.configured,
        status: () => {
          this.asked++;
          return this.status();
        },
      },
      gracePeriodMs,
      now: () => this.nowMs,
    });
  }

  /** From now on, a second and more after every answer before. */
  fails(message: string): void {
    this.nowMs += 1_500;
    this.status = () => Promise.reject(new UnavailableError(message));
  }
}

Deno.test("a plugin that is not ready makes the network not ready, in its words", async () => {
  const node = new Node();
  const health = node.health();
  assert.deepEqual(await health.readiness(), { ready: true });
  node.fails("no agent (code 50)");
  assert.deepEqual(await health.readiness(), {
    ready: false,
    reason: "NetworkPluginNotReady",
    message: "no agent (code 50)",
  });
});

Deno.test("plugins are asked once for all who ask at the same time, and not without a configuration", async () => {
  const node = new Node();
  const health = node.health();
  await Promise.all([health.readiness(), health.readiness(), health.readiness()]);
  assert.equal(node.asked, 1);
  node.nowMs += 1_500;
  node.configured = { ready: false, reason: "NetworkPluginNotReady", message: "none" };
  assert.deepEqual(await health.readiness(), node.configured);
  assert.equal(node.asked, 1);
});

Deno.test("within the grace period a network that was ready stays so, one that never was does not", async () => {
  const node = new Node();
  const health = node.health(10_000);
  node.fails("starting");
  assert.equal((await health.readiness()).ready, false);
  node.nowMs += 1_500;
  node.status = () => Promise.resolve();
  assert.equal((await health.readiness()).ready, true);
  node.fails("updating");
  assert.equal((await health.readiness()).ready, true);
  node.configured = { ready: false, reason: "NetworkPluginNotReady", message: "none" };
  node.nowMs += 8_000;
  assert.equal((await health.readiness()).ready, true);
  node.nowMs += 1_000;
  assert.deepEqual(await health.readiness(), node.configured);
});
