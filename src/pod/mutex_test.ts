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

Deno.test("KeyedMutex.acquire() ends with its signal, and who waits behind goes in after the holder", async () => {
  const mutex = new KeyedMutex();
  const holder = await mutex.acquire("key");
  const impatient = new AbortController();
  const reason = new Error("too late");
  const given = mutex.acquire("key", impatient.signal);
  let entered = false;
  const behind = mutex.acquire("key").then((permit) => {
    entered = true;
    return permit;
  });
  impatient.abort(reason);
  await assert.rejects(given, reason);
  await assert.rejects(mutex.acquire("key", impatient.signal), reason);
  const last = new AbortController();
  const lost = mutex.acquire("key", last.signal);
  last.abort(reason);
  await assert.rejects(lost, reason);
  assert.equal(entered, false, "the key is held");
  holder[Symbol.dispose]();
  (await behind)[Symbol.dispose]();
  // After all of them the key is free again, also with a signal that fires later.
  using _free = await mutex.acquire("key", new AbortController().signal);
});

Deno.test("KeyedMutex.acquire() that was given up last does not open a held key", async () => {
  const mutex = new KeyedMutex();
  const holder = await mutex.acquire("key");
  await assert.rejects(mutex.acquire("key", AbortSignal.timeout(1)));
  let entered = false;
  const next = mutex.acquire("key").then((permit) => {
    entered = true;
    return permit;
  });
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(entered, false);
  holder[Symbol.dispose]();
  (await next)[Symbol.dispose]();
});
