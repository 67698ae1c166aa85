import assert from "node:assert/strict";
import {
  containerFromJson,
  containerIn,
  type ContainerState,
  containerToJson,
  isLive,
  isVisible,
} from "./container.ts";
import { containerRecord, RUNNING } from "./_test_records.ts";

const EXITED: ContainerState = {
  kind: "exited",
  startedAtNs: 5n,
  finishedAtNs: 2n ** 60n,
  exitCode: 137,
  reason: "OOMKilled",
  message: "",
};

Deno.test("a container's record survives JSON in every state, bytes and big integers included", () => {
  for (const state of [{ kind: "creating" } as const, RUNNING, EXITED]) {
    const record = containerRecord(state);
    const text = JSON.stringify(containerToJson(record));
    assert.deepEqual(containerFromJson(JSON.parse(text)), record);
  }
});

Deno.test("containerFromJson() refuses a record of a state that does not exist", () => {
  const json = { ...containerToJson(containerRecord(RUNNING)), state: { kind: "constructor" } };
  assert.throws(() => containerFromJson(json), /cannot be read/);
});

Deno.test("containerFromJson() reads a record without the image's name, as the first builds wrote it", () => {
  const { imageName: _, ...json } = containerToJson(containerRecord(RUNNING));
  const { imageName, config } = containerFromJson(json);
  assert.equal(imageName, config.image?.image ?? "");
});

Deno.test("containerIn() refuses an illegal transition", () => {
  const record = containerRecord(EXITED);
  assert.throws(() => containerIn(record, RUNNING), /cannot go from exited to running/);
  assert.equal(containerIn(record, { kind: "removing" }).state.kind, "removing");
});

Deno.test("a container being made or removed is not visible, one that ended is not live", () => {
  assert.equal(isVisible(containerRecord({ kind: "creating" })), false);
  assert.equal(isVisible(containerRecord({ kind: "removing" })), false);
  assert.equal(isVisible(containerRecord(EXITED)), true);
  assert.equal(isLive(containerRecord(RUNNING)), true);
  assert.equal(isLive(containerRecord(EXITED)), false);
});
