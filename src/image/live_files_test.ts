import assert from "node:assert/strict";
import { FailedPreconditionError, UnimplementedError } from "../errors/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { LiveFiles } from "./live_files.ts";

const wrong = () => Promise.reject(new FailedPreconditionError("line 3 is wrong"));

Deno.test("LiveFiles.read() gives what the file says now, and what it said while it is wrong", async () => {
  const told: string[] = [];
  const log: Logger = {
    ...silentLogger,
    error: (_, fields) => void told.push(String(fields?.["problem"])),
  };
  const files = new LiveFiles<number>(log);
  await assert.rejects(() => files.read("a", wrong), FailedPreconditionError);
  assert.equal(await files.read("a", () => Promise.resolve(1)), 1);
  assert.equal(await files.read("a", () => Promise.resolve(2)), 2);
  assert.equal(await files.read("a", wrong), 2);
  assert.equal(await files.read("a", wrong), 2);
  assert.deepEqual(told, ["line 3 is wrong"], "once, not with every pull");
  assert.equal(await files.check("a", wrong), "line 3 is wrong");
  assert.equal(await files.check("a", () => Promise.resolve(3)), undefined);
  assert.equal(await files.read("a", wrong), 3);
  assert.deepEqual(told, ["line 3 is wrong", "line 3 is wrong"], "again, after it was right");
  // Another file has nothing to fall back on.
  await assert.rejects(() => files.read("b", wrong), FailedPreconditionError);
});

Deno.test("LiveFiles.read() passes on what is right and not built: it must not be skipped", async () => {
  const files = new LiveFiles<number>(silentLogger);
  files.keep("policy", 1);
  await assert.rejects(
    () => files.read("policy", () => Promise.reject(new UnimplementedError("signedBy"))),
    UnimplementedError,
  );
});

Deno.test("LiveFiles.check() logs whether the old value stays in force, as read() does it", async () => {
  const told: string[] = [];
  const log: Logger = { ...silentLogger, error: (message) => void told.push(message) };
  const files = new LiveFiles<number>(log);
  const unbuilt = () => Promise.reject(new UnimplementedError("signedBy"));
  files.keep("policy", 1);
  assert.equal(await files.check("policy", wrong), "line 3 is wrong");
  assert.equal(await files.check("policy", unbuilt), "signedBy");
  assert.equal(await files.check("never right", wrong), "line 3 is wrong");
  assert.deepEqual(told.map((message) => /; (.*)$/.exec(message)![1]), [
    "what it said before stays in force",
    "what needs it fails until the file is changed",
    "what needs it fails until the file is changed",
  ]);
});

Deno.test("LiveFiles keeps a bounded number of values", async () => {
  const files = new LiveFiles<number>(silentLogger);
  for (let i = 0; i < 1000; i++) files.keep(`host-${i}`, i);
  await assert.rejects(() => files.read("host-0", wrong));
  assert.equal(await files.read("host-999", wrong), 999);
});
