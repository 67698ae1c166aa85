import assert from "node:assert/strict";
import { KeyedMutex } from "./mutex.ts";

Deno.test("KeyedMutex.acquire() lets holders of one key in one after the other", async () => {
  const mutex = new KeyedMutex();
  const order: string[] = [];
  const work = async (name: string) => {
    using _ = await mutex.acquire("key");
    order.push(`${name} in`);
    await Promise.resolve();
    order.push(`${name} out`);
  };
  await Promise.all([work("a"), work("b"), work("c")]);
  assert.deepEqual(order, ["a in", "a out", "b in", "b out", "c in", "c out"]);
});

Deno.test("KeyedMutex.acquire() does not make other keys wait", async () => {
  const mutex = new KeyedMutex();
  using _held = await mutex.acquire("a");
  using _other = await mutex.acquire("b");
  assert.ok(true);
});
