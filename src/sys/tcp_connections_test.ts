import assert from "node:assert/strict";
import { ByteDescriptors } from "./byte_descriptors.ts";
import { socketOption } from "./_test_socket_option.ts";
import { AF_INET, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY } from "./constants.ts";
import type { Fd, Kernel } from "./kernel.ts";
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

for (const netnsPath of [undefined, "/net"]) {
  Deno.test(`a connection sends what it has at once (namespace ${netnsPath})`, async () => {
    const linux = createLinuxKernel();
    const sockets: number[] = [];
    const kernel: Kernel = {
      ...linux,
      connectTcp: (fd, address, port) => {
        sockets.push(fd);
        linux.connectTcp(fd, address, port);
      },
    };
    using descriptors = new ByteDescriptors(kernel);
    const connections = new TcpConnections({
      kernel,
      descriptors,
      sockets: { socket: ({ domain }) => Promise.resolve(linux.socket(domain, SOCK_STREAM, 0)) },
    });
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    using _connection = await connections.connect(
      { netnsPath, address: "127.0.0.1", port },
      new AbortController().signal,
    );
    assert.equal(socketOption(sockets[0]!, IPPROTO_TCP, TCP_NODELAY), 1);
  });
}
