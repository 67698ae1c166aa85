import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { UnavailableError } from "../errors/mod.ts";
import { createLinuxKernel } from "./linux.ts";
import { peerOf } from "./peer.ts";

const kernel = createLinuxKernel();

async function accepted(listen: (server: ReturnType<typeof createServer>) => void) {
  const server = createServer();
  listen(server);
  await once(server, "listening");
  const address = server.address();
  const client = typeof address === "string"
    ? connect(address)
    : connect(address?.port ?? 0, "127.0.0.1");
  const [socket] = await once(server, "connection") as [Socket];
  return {
    socket,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      client.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

Deno.test("peerOf() tells who connected to a unix socket", async () => {
  const root = await Deno.makeTempDir();
  {
    await using at = await accepted((server) => server.listen(`${root}/s`));
    assert.deepEqual(peerOf(kernel, at.socket), {
      pid: Deno.pid,
      uid: Deno.uid() ?? -1,
      gid: Deno.gid() ?? -1,
    });
    at.socket.destroy();
    await once(at.socket, "close");
    assert.throws(() => peerOf(kernel, at.socket), UnavailableError);
  }
  await Deno.remove(root, { recursive: true });
});

Deno.test("the peer of a TCP connection is not known", async () => {
  await using at = await accepted((server) => server.listen(0, "127.0.0.1"));
  assert.throws(() => peerOf(kernel, at.socket), UnavailableError);
});
