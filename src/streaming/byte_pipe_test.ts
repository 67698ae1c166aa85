import assert from "node:assert/strict";
import { BytePipe } from "./byte_pipe.ts";

const KIB = 1024;
const chunk = (text: string) => new TextEncoder().encode(text);

Deno.test("a pipe makes its writer wait while so much is unread, and no longer", async () => {
  const pipe = new BytePipe(100 * KIB);
  const half = new Uint8Array(60 * KIB);
  assert.equal(pipe.offer(half), undefined);
  const full = pipe.offer(half);
  assert.ok(full !== undefined);
  const reader = pipe.source[Symbol.asyncIterator]();
  assert.deepEqual((await reader.next()).value, half);
  await full;
  await pipe.end();
  assert.deepEqual((await reader.next()).value, half);
  assert.equal((await reader.next()).done, true);
  assert.equal(pipe.offer(chunk("after the end")), undefined);
});

Deno.test("a pipe holds no more than its bytes, however large the chunks are in which they came", async () => {
  const pipe = new BytePipe(1024 * KIB);
  const sent = Array.from({ length: 100 }, (_, index) => Uint8Array.of(index));
  for (const [byte] of sent) {
    assert.equal(pipe.offer(new Uint8Array(64 * KIB).fill(byte!).subarray(7, 8)), undefined);
  }
  await pipe.end();
  const got: Uint8Array[] = [];
  for await (const piece of pipe.source) {
    assert.ok(piece.buffer.byteLength <= 2 * piece.length, `${piece.buffer.byteLength} bytes held`);
    got.push(piece);
  }
  assert.deepEqual(got, sent);
});

Deno.test("many small pieces fill a pipe before their objects fill the memory", async () => {
  const pipe = new BytePipe(1024 * KIB);
  let pieces = 1;
  let full = pipe.offer(chunk("x"));
  for (; full === undefined && pieces < 100_000; pieces++) full = pipe.offer(chunk("x"));
  assert.ok(pieces <= 4096, `${pieces} pieces`);
  const reader = pipe.source[Symbol.asyncIterator]();
  await reader.next();
  await full;
});

Deno.test("a reader that leaves frees the writer", async () => {
  const pipe = new BytePipe(1);
  const waiting = pipe.write(chunk("a"));
  for await (const _ of pipe.source) break;
  await waiting;
  assert.equal(pipe.offer(chunk("b")), undefined);
});

Deno.test("a sender that is lost is an error to the reader, at once", async () => {
  const pipe = new BytePipe(KIB);
  await pipe.write(chunk("a"));
  pipe.fail(new Error("lost"));
  await assert.rejects(async () => {
    for await (const _ of pipe.source);
  }, /lost/);
});
