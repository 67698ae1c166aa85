import assert from "node:assert/strict";
import { NotFoundError } from "../errors/mod.ts";
import { described, serverMessage } from "./failure.ts";

Deno.test("described() puts the remedy on a line of its own", () => {
  const error = new NotFoundError("There is no pod", { remedy: "see sauropod pods" });
  assert.equal(described(error), "There is no pod\n  see sauropod pods");
  assert.equal(described(new Error("plain")), "plain");
});

Deno.test("described() names both the failure and that of undoing it", () => {
  assert.equal(
    described(new SuppressedError(new Error("stuck"), new Error("broken"))),
    "broken; undoing it: stuck",
  );
});

Deno.test("serverMessage() splits at the last remedy", () => {
  assert.deepEqual(serverMessage("No room; stage: layers; remedy: make some"), [
    "No room; stage: layers",
    { remedy: "make some" },
  ]);
  assert.deepEqual(serverMessage("No room"), ["No room", {}]);
});
