import assert from "node:assert/strict";
import { ByteDescriptors } from "./byte_descriptors.ts";
import { AF_INET, SOCK_STREAM } from "./constants.ts";
import type { Fd } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import { TcpConnections } from "./tcp_connections.ts";

Deno.test("a connection that is given up does not wait for the socket of a namespace, and closes what comes", async () => {
  const kernel = createLinuxKernel();
  using descriptors = new ByteDescriptors(kernel);
  const { promise: made, resolve: make } = Promise.withResolvers<Fd>();
  const connections = new TcpConnections({ kernel, descriptors, sockets: { socket: () => made } });
  const ending = new AbortController();
  const connecting = connections.connect(
    { netnsPath: "/net", address: "127.0.0.1", port: 80 },
    ending.signal,
  );
  const reason = new Error("nobody waits any more");
  ending.abort(reason);
  await assert.rejects(connecting, reason);
  using late = kernel.socket(AF_INET, SOCK_STREAM, 0);
  make(late);
  await made;
  await Promise.resolve();
  assert.ok(late.closed);
});
