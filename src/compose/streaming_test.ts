import assert from "node:assert/strict";
import { FailedPreconditionError } from "../errors/mod.ts";
import { streamAddress, streamPort } from "./streaming.ts";

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

Deno.test("stream_address is an IP address, or anything else for the host's own", async () => {
  const none = () => Promise.resolve(undefined);
  const own = () => Promise.resolve("192.0.2.7");
  for (const address of ["127.0.0.1", "0.0.0.0", "::", "2001:db8::1"]) {
    assert.equal(await streamAddress(address, none), address);
  }
  for (const other of ["", "node.example", "fe80::1%eth0"]) {
    assert.equal(await streamAddress(other, own), "192.0.2.7");
  }
  await assert.rejects(streamAddress("", none), (error: unknown) => {
    assert(error instanceof FailedPreconditionError);
    assert.equal(error.details.field, "api.stream_address");
    return true;
  });
});
