import assert from "node:assert/strict";
import { AlreadyExistsError } from "../errors/mod.ts";
import { JoinableCreations } from "./joining.ts";

const request = (fingerprint: string) => ({ key: "pod", fingerprint, noun: "Sandbox" });

Deno.test("JoinableCreations.run() joins an identical creation under way", async () => {
  const creations = new JoinableCreations<string>();
  const gate = Promise.withResolvers<string>();
  const first = creations.run(request("x"), "id1", () => gate.promise);
  const second = creations.run(request("x"), "id2", () => Promise.reject(new Error("not joined")));
  gate.resolve("made");
  assert.deepEqual(await Promise.all([first, second]), ["made", "made"]);
});

Deno.test("JoinableCreations.run() refuses other content under the same key and names the id", async () => {
  const creations = new JoinableCreations<string>();
  const gate = Promise.withResolvers<string>();
  const first = creations.run(request("x"), "id1", () => gate.promise);
  assert.throws(
    () => creations.run(request("y"), "id2", () => Promise.resolve("")),
    (error: unknown) => error instanceof AlreadyExistsError && error.details.id === "id1",
  );
  gate.resolve("made");
  await first;
});

Deno.test("JoinableCreations.run() frees the key when the creation fails", async () => {
  const creations = new JoinableCreations<string>();
  await assert.rejects(
    creations.run(request("x"), "id1", () => Promise.reject(new Error("no space"))),
    /no space/,
  );
  assert.equal(await creations.run(request("y"), "id2", () => Promise.resolve("made")), "made");
});
