import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { streamPort } from "./streaming.ts";

Deno.test("stream_port is a number, or the name of a service that the node knows", async () => {
  const lookUp = (name: string) => Promise.resolve(name === "http-alt" ? 8080 : undefined);
  assert.equal(await streamPort("0", lookUp), 0);
  assert.equal(await streamPort("", lookUp), 0);
  assert.equal(await streamPort("10010", lookUp), 10010);
  assert.equal(await streamPort("http-alt", lookUp), 8080);
  await assert.rejects(streamPort("nothing", lookUp), (error: unknown) => {
    assert(error instanceof FailedPreconditionError);
    assert.equal(error.details.field, "api.stream_port");
    return true;
  });
});
