import assert from "node:assert/strict";
import { json } from "./json_output.ts";

Deno.test("JSON output has 64-bit integers as text and bytes as base64", () => {
  assert.deepEqual(JSON.parse(json({ at: 1795474743347787841n, bytes: new Uint8Array([1, 2]) })), {
    at: "1795474743347787841",
    bytes: "AQI=",
  });
});

Deno.test("JSON output names enumerations, and the states of pods and containers apart", () => {
  const value = {
    containers: [{ imageRef: "x", state: 1 }],
    items: [{ state: 1, options: { network: 2, pid: 1, targetId: "" } }],
  };
  assert.deepEqual(JSON.parse(json(value)), {
    containers: [{ imageRef: "x", state: "CONTAINER_RUNNING" }],
    items: [
      { state: "SANDBOX_NOTREADY", options: { network: "NODE", pid: "CONTAINER", targetId: "" } },
    ],
  });
});

Deno.test("JSON output keeps a number that an enumeration lacks, and other fields of those names", () => {
  const value = { pid: 1, state: "ok", cgroupDriver: 7, protocol: "tcp" };
  assert.deepEqual(JSON.parse(json(value)), value);
});
