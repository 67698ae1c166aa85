import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Client, credentials, status } from "@grpc/grpc-js";
import { startTestServer, TestClient } from "./_test_server.ts";
import { Admission } from "./admission.ts";
import type { Limit } from "./limits.ts";

const ONE: Limit = { name: "calls of the test", max: 1, unit: "calls", reason: "a test" };

Deno.test("a permit that is given back twice counts once, and nothing is kept of a connection without calls", () => {
  const admission = new Admission({ total: { ...ONE, max: 2 }, perConnection: { ...ONE, max: 2 } });
  const first = admission.enter(7);
  const second = admission.enter(7);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.deepEqual([admission.total, admission.connections], [1, 1]);
  using _third = admission.enter(7);
  assert.throws(() => admission.enter(8), { kind: "resource_exhausted" });
  second[Symbol.dispose]();
  using _other = admission.enter(8);
  assert.deepEqual([admission.total, admission.connections], [2, 2]);
  for (let connection = 9; connection < 100; connection++) {
    assert.throws(() => admission.enter(connection), { kind: "resource_exhausted" });
  }
  _third[Symbol.dispose]();
  _other[Symbol.dispose]();
  assert.deepEqual([admission.total, admission.connections], [0, 0]);
});

Deno.test("a call that is given up before its request has come is not under way any more", async () => {
  await using started = await startTestServer({
    options: { callLimits: { total: ONE, perConnection: ONE } },
  });
  using client = new TestClient(started.path);
  await client.call("version", {});
  const raw = new Client(`unix://${started.path}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const asItIs = (bytes: Buffer) => bytes;
  try {
    for (let round = 0; round < 20; round++) {
      await new Promise<void>((resolve) => {
        const call = raw.makeClientStreamRequest(
          "/runtime.v1.RuntimeService/ListContainers",
          asItIs,
          asItIs,
          () => resolve(),
        );
        setTimeout(() => call.cancel(), round);
      });
    }
    // The last is given up here a moment before the server hears of it.
    for (let turn = 0; turn < 1_000; turn++) {
      try {
        await client.call("listContainers", {});
        return;
      } catch (error) {
        assert.equal((error as { code: number }).code, status.RESOURCE_EXHAUSTED);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    assert.fail("a call that was given up is still counted");
  } finally {
    raw.close();
  }
});
