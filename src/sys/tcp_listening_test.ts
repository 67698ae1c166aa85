import assert from "node:assert/strict";
import { SyscallError } from "../errors/mod.ts";
import { createLinuxKernel } from "./linux.ts";
import { Listener } from "./listener.ts";
import { listenTcp } from "./tcp_listening.ts";

const kernel = createLinuxKernel();
const keepAlive = { idleSeconds: 15, intervalSeconds: 5, probes: 3 };

/** SO_KEEPALIVE, TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT, by level and option. */
const OPTIONS = [[1, 9], [6, 1], [6, 4], [6, 5], [6, 6]] as const;

function socketOptions(fd: number): number[] {
  const libc = Deno.dlopen("libc.so.6", {
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  });
  const values = OPTIONS.map(([level, option]) => {
    const value = new Int32Array(1);
    libc.symbols.getsockopt(fd, level, option, value, new Uint32Array([4]));
    return value[0]!;
  });
  libc.close();
  return values;
}

const hasIPv6 = Deno.networkInterfaces().some(({ address }) => address === "::1");

for (const address of ["127.0.0.1", "::1", "::"]) {
  Deno.test({
    name: `connections to ${address} ask a silent peer at the configured pace`,
    ignore: address.includes(":") && !hasIPv6,
    async fn() {
      const { socket, port } = listenTcp(kernel, { address, port: 0, keepAlive });
      const { promise, resolve } = Promise.withResolvers<number[]>();
      using _listener = new Listener({
        kernel,
        socket,
        onConnection: (connection) => {
          resolve(socketOptions(connection.number));
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
