import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { socketOption } from "./_test_socket_option.ts";
import { createLinuxKernel } from "./linux.ts";
import { Listener } from "./listener.ts";
import { listenTcp } from "./tcp_listening.ts";

const kernel = createLinuxKernel();
const keepAlive = { idleSeconds: 15, intervalSeconds: 5, probes: 3 };

/** SO_KEEPALIVE, TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, by level and option. */
const OPTIONS = [[1, 9], [6, 1], [6, 4], [6, 5], [6, 6]] as const;

const hasIPv6 = Deno.networkInterfaces().some(({ address }) => address === "::1");

for (const address of ["127.0.0.1", "::1", "::"]) {
  Deno.test({
    name: `connections to ${address} ask a silent peer at the configured pace, and send at once`,
    ignore: address.includes(":") && !hasIPv6,
    async fn() {
      const { socket, port } = listenTcp(kernel, { address, port: 0, keepAlive });
      const { promise, resolve } = Promise.withResolvers<number[]>();
      using _listener = new Listener({
        kernel,
        socket,
        onConnection: (connection) => {
          resolve(OPTIONS.map(([level, option]) => socketOption(connection.number, level, option)));
          connection.close();
        },
        onTrouble: (error) => assert.fail(String(error)),
      });
      // Clients of both families come to "::".
      using _client = await Deno.connect({
        hostname: address === "::" ? "127.0.0.1" : address,
        port,
      });
      assert.deepEqual(await promise, [1, 1, 15, 5, 3]);
    },
  });
}

Deno.test("a port that is taken and an address of another host are errors, and leave nothing", () => {
  const { socket, port } = listenTcp(kernel, { address: "127.0.0.1", port: 0, keepAlive });
  using _taken = socket;
  const before = [...Deno.readDirSync("/proc/self/fd")].length;
  assert.throws(
    () => listenTcp(kernel, { address: "127.0.0.1", port, keepAlive }),
    (error) => error instanceof SyscallError && error.code === "EADDRINUSE",
  );
  assert.throws(
    () => listenTcp(kernel, { address: "192.0.2.1", port: 0, keepAlive }),
    (error) => error instanceof SyscallError && error.code === "EADDRNOTAVAIL",
  );
  assert.equal([...Deno.readDirSync("/proc/self/fd")].length, before);
});
