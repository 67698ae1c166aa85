import assert from "node:assert/strict";
import { SharedGate } from "./shared_gate.ts";

Deno.test("what wants to be alone waits for what runs, and what comes later waits for it", async () => {
  const gate = new SharedGate();
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const note = (text: string) => Promise.resolve(void order.push(text));
  const running = gate.shared(() => first.promise.then(() => note("shared")));
  const beside = gate.shared(() => note("beside"));
  const failing = gate.shared(() => first.promise.then(() => Promise.reject(new Error("x"))));
  const alone = gate.exclusively(() => note("alone"));
  const later = gate.shared(() => note("later"));
  const aloneAgain = gate.exclusively(() => note("alone again"));
  await beside;
  assert.deepEqual(order, ["beside"]);
  first.resolve();
  await assert.rejects(failing, /x/);
  await Promise.all([running, alone, later, aloneAgain]);
  assert.deepEqual(order.slice(0, 3), ["beside", "shared", "alone"]);
  assert.deepEqual(order.slice(3).sort(), ["alone again", "later"]);
});

Deno.test("work alone that fails holds nobody up", async () => {
  const gate = new SharedGate();
  await assert.rejects(gate.exclusively(() => Promise.reject(new Error("x"))), /x/);
  assert.equal(await gate.shared(() => Promise.resolve(1)), 1);
});
