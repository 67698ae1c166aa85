import assert from "node:assert/strict";
import { BytePipe } from "./byte_pipe.ts";

const chunk = (text: string) => new TextEncoder().encode(text);

Deno.test("a pipe makes its writer wait while so much is unread, and no longer", async () => {
  const pipe = new BytePipe(4);
  assert.equal(pipe.offer(chunk("abc")), undefined);
  const full = pipe.offer(chunk("d"));
  assert.ok(full !== undefined);
  const reader = pipe.source[Symbol.asyncIterator]();
  assert.deepEqual((await reader.next()).value, chunk("abc"));
  await full;
  await pipe.end();
  assert.deepEqual((await reader.next()).value, chunk("d"));
  assert.equal((await reader.next()).done, true);
  assert.equal(pipe.offer(chunk("after the end")), undefined);
});

Deno.test("a reader that leaves frees the writer", async () => {
  const pipe = new BytePipe(1);
  const waiting = pipe.write(chunk("a"));
  for await (const _ of pipe.source) break;
  await waiting;
  assert.equal(pipe.offer(chunk("b")), undefined);
});

Deno.test("a sender that is lost is an error to the reader, at once", async () => {
  const pipe = new BytePipe(100);
  await pipe.write(chunk("a"));
  pipe.fail(new Error("lost"));
  await assert.rejects(async () => {
    for await (const _ of pipe.source);
  }, /lost/);
});
