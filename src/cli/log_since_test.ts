import assert from "node:assert/strict";
import type { LogEntry } from "./container_log.ts";
import { newerThan, sinceOf } from "./log_since.ts";

Deno.test("sinceOf() takes moments, and times before now", () => {
  assert.equal(sinceOf(undefined, 1000), undefined);
  assert.equal(sinceOf("10m", 600_000), 0);
  assert.equal(sinceOf("5", 6_000), 1_000);
  assert.equal(sinceOf("1970-01-01T00:00:01Z", 0), 1_000);
  assert.equal(sinceOf("1970-01-01T01:00:01+01:00", 0), 1_000);
  for (const text of ["yesterday", "-5m", "2026-13-45", ""]) {
    assert.throws(() => sinceOf(text, 0), /--since ".*" is no time/);
  }
});

Deno.test("newerThan() leaves out older entries", async () => {
  const entry = (time: string): LogEntry => ({
    time,
    stream: "stdout",
    complete: true,
    content: new Uint8Array(),
  });
  async function* entries() {
    yield entry("1970-01-01T00:00:00.999999999Z");
    yield entry("1970-01-01T00:00:01.5Z");
    yield entry("odd");
  }
  const times: string[] = [];
  for await (const { time } of newerThan(entries(), 1_000)) times.push(time);
  assert.deepEqual(times, ["1970-01-01T00:00:01.5Z", "odd"]);
});
