import assert from "node:assert/strict";
import { BytePipe } from "./byte_pipe.ts";
import { Loans } from "./loans.ts";

const KIB = 1024;
const chunk = (text: string) => new TextEncoder().encode(text);
const pipeOf = (limitBytes: number) => new BytePipe(limitBytes, new Loans(() => {}));

Deno.test("a pipe makes its writer wait once so much is unread, until nothing is", async () => {
  const pipe = pipeOf(100 * KIB);
  const half = new Uint8Array(60 * KIB);
  assert.equal(pipe.offer(half), undefined);
  const full = pipe.offer(half);
  assert.ok(full !== undefined);
  let taken = false;
  void full.then(() => taken = true);
  const reader = pipe.source[Symbol.asyncIterator]();
  assert.deepEqual((await reader.next()).value, half);
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(taken, false);
  assert.deepEqual((await reader.next()).value, half);
  await full;
  pipe.end();
  assert.equal((await reader.next()).done, true);
  assert.equal(pipe.offer(chunk("after the end")), undefined);
});

Deno.test("a pipe lends to a reader that waits, and gives it what comes meanwhile in order", async () => {
  const pipe = pipeOf(KIB);
  const reader = pipe.source[Symbol.asyncIterator]();
  const first = reader.next();
  const memory = chunk("onetwo");
  assert.equal(pipe.offer(memory.subarray(0, 3)), undefined);
  const lent = (await first).value;
  assert.equal(lent?.buffer, memory.buffer);
  const offered = pipe.offer(memory.subarray(3));
  // It asks within the pipe's patience, or it does not: the bytes are the same.
  const second = reader.next();
  await offered;
  assert.deepEqual((await second).value, chunk("two"));
});

Deno.test("a pipe holds no more than its bytes, however large the chunks are in which they came", async () => {
  const pipe = pipeOf(1024 * KIB);
  const sent = Array.from({ length: 100 }, (_, index) => Uint8Array.of(index));
  for (const [byte] of sent) {
    assert.equal(pipe.offer(new Uint8Array(64 * KIB).fill(byte!).subarray(7, 8)), undefined);
  }
  pipe.end();
  const got: Uint8Array[] = [];
  for await (const piece of pipe.source) {
    assert.ok(piece.buffer.byteLength <= 2 * piece.length, `${piece.buffer.byteLength} bytes held`);
    got.push(piece);
  }
  assert.deepEqual(got, sent);
});

Deno.test("many small pieces fill a pipe before their objects fill the memory", async () => {
  const pipe = pipeOf(1024 * KIB);
  let pieces = 1;
  let full = pipe.offer(chunk("x"));
  for (; full === undefined && pieces < 100_000; pieces++) full = pipe.offer(chunk("x"));
  assert.ok(pieces <= 4096, `${pieces} pieces`);
  pipe.end();
  for await (const _ of pipe.source);
  await full;
});

Deno.test("a reader that leaves frees the writer", async () => {
  const pipe = pipeOf(1);
  const waiting = pipe.offer(chunk("a"));
  for await (const _ of pipe.source) break;
  await waiting;
  assert.equal(pipe.offer(chunk("b")), undefined);
});

Deno.test("a sender that is lost is an error to the reader, at once", async () => {
  const pipe = pipeOf(KIB);
  pipe.offer(chunk("a"));
  pipe.fail(new Error("lost"));
  await assert.rejects(async () => {
    for await (const _ of pipe.source);
  }, /lost/);
});
