import assert from "node:assert/strict";
import { once } from "node:events";
import { SyscallError } from "../errors/mod.ts";
import { withRoot } from "./_test_root.ts";
import { adoptStream } from "./adopted.ts";
import { AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM } from "./constants.ts";
import { errnoNumber } from "./errno.ts";
import type { Fd, Kernel } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import { Listener, type ListenerOptions } from "./listener.ts";

const linux = createLinuxKernel();

interface Listening {
  readonly path: string;
  /** Descriptors of connections, as they come. */
  readonly connections: Fd[];
  readonly troubles: unknown[];
  /** Resolves when there are as many connections. */
  accepted(count: number): Promise<void>;
}

/** Listens with a kernel whose accept(2) first fails with each of `errnos`. */
function listening(
  errnos: readonly string[],
  body: (listening: Listening) => Promise<void>,
  options: Partial<ListenerOptions> = {},
): Promise<void> {
  return withRoot(async (root) => {
    const path = `${root}/s`;
    const left = [...errnos];
    const kernel: Kernel = {
      ...linux,
      accept: (fd) => {
        const errno = left.shift();
        if (errno === undefined) return linux.accept(fd);
        throw new SyscallError("accept4", errnoNumber(errno), errno, "a socket");
      },
    };
    const socket = linux.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    linux.bindUnix(socket.number, path);
    linux.listen(socket.number, 256);
    const connections: Fd[] = [];
    const troubles: unknown[] = [];
    let wake = () => {};
    using _listener = new Listener({
      kernel,
      socket,
      onConnection: (connection) => (connections.push(connection), wake()),
      onTrouble: (error) => troubles.push((error as { code?: string }).code),
      ...options,
    });
    try {
      await body({
        path,
        connections,
        troubles,
        async accepted(count) {
          while (connections.length < count) {
            await new Promise<void>((resolve) => wake = resolve);
          }
        },
      });
    } finally {
      for (const connection of connections) connection.close();
    }
  });
}

Deno.test("connections come as descriptors, also many at once", () =>
  listening([], async ({ path, connections, accepted }) => {
    const clients = await Promise.all(
      Array.from({ length: 200 }, () => Deno.connect({ transport: "unix", path })),
    );
    await accepted(200);
    assert.equal(linux.peerCredentials(connections[0]!.number).pid, Deno.pid);
    for (const client of clients) client.close();
  }));

Deno.test("what was accepted is served on the event loop, and leaves nothing behind", () => {
  const before = openDescriptors();
  return listening([], async ({ path }) => {
    const listeningOnly = openDescriptors();
    for (let round = 0; round < 3; round++) {
      const client = await Deno.connect({ transport: "unix", path });
      await client.write(new TextEncoder().encode("hello"));
      const answer = new Uint8Array(10);
      assert.equal(await client.read(answer), 5);
      client.close();
    }
    while (openDescriptors() > listeningOnly) await new Promise((r) => setTimeout(r));
  }, {
    onConnection: (connection) => {
      const socket = adoptStream(connection);
      socket.pipe(socket);
      void once(socket, "close");
    },
  }).then(() => assert.equal(openDescriptors(), before));
});

Deno.test("a full descriptor table makes clients wait, and is told once", () =>
  listening(["EMFILE", "EMFILE", "ENFILE"], async ({ path, troubles, accepted }) => {
    using _client = await Deno.connect({ transport: "unix", path });
    await accepted(1);
    assert.deepEqual(troubles, ["EMFILE"]);
  }));

Deno.test("a client that left while it waited keeps nobody from being served", () =>
  listening(["ECONNABORTED"], async ({ path, troubles, accepted }) => {
    using _client = await Deno.connect({ transport: "unix", path });
    await accepted(1);
    assert.deepEqual(troubles, []);
  }));

Deno.test("a connection that nobody can take is closed, and the next is served", async () => {
  let calls = 0;
  const troubles: string[] = [];
  const taken = Promise.withResolvers<void>();
  await listening([], async ({ path }) => {
    const refused = await Deno.connect({ transport: "unix", path });
    assert.equal(await refused.read(new Uint8Array(1)), null);
    refused.close();
    using _client = await Deno.connect({ transport: "unix", path });
    await taken.promise;
    assert.deepEqual(troubles, ["Error: no"]);
  }, {
    onConnection: (connection) => {
      if (++calls === 1) throw new Error("no");
      connection.close();
      taken.resolve();
    },
    onTrouble: (error) => troubles.push(String(error)),
  });
});

Deno.test("a listener that is disposed while it waits for descriptors refuses", async () => {
  const inTrouble = Promise.withResolvers<void>();
  let kept = "";
  await listening(["EMFILE"], async ({ path }) => {
    kept = path;
    const client = await Deno.connect({ transport: "unix", path });
    await inTrouble.promise;
    client.close();
  }, { onTrouble: () => inTrouble.resolve() });
  await assert.rejects(Deno.connect({ transport: "unix", path: kept }));
});

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}
