import assert from "node:assert/strict";
import { silentLogger } from "../telemetry/mod.ts";
import { UnavailableError } from "../errors/mod.ts";
import { FORWARDED_CONNECTIONS_LIMIT } from "./limits.ts";
import { CLOSED_PORT, CONTAINER, SANDBOX, TestService } from "./_test_service.ts";
import { forwardBySpdy } from "./port_forward_spdy.ts";
import { runBySpdy } from "./remote_command_spdy.ts";
import { endOf, frameOf, TestClient } from "./spdy/_test_client.ts";
import { dataHeader, FLAG_FIN } from "./spdy/frames.ts";
import { SESSION_BUFFER_BYTES, STREAM_BUFFER_BYTES } from "./spdy/limits.ts";
import { SpdySession } from "./spdy/mod.ts";

const V4 = "v4.channel.k8s.io";

function sessionWith(service = new TestService()) {
  const cut = new AbortController();
  const parts = { service, cut: cut.signal, onActivity: () => {}, log: silentLogger };
  return { cut, parts };
}

async function run(
  { args, protocol = V4, terminal = false, service = new TestService() }: {
    readonly args: readonly string[];
    readonly protocol?: Parameters<typeof runBySpdy>[2]["protocol"];
    readonly terminal?: boolean;
    readonly service?: TestService;
  },
  act: (client: TestClient, cut: AbortController) => Promise<void>,
): Promise<TestClient> {
  const client = new TestClient();
  const { cut, parts } = sessionWith(service);
  await using spdy = new SpdySession(client.connection);
  const wanted = { stdin: true, stdout: true, stderr: !terminal, terminal };
  const session = { container: CONTAINER, args, terminal };
  const running = runBySpdy({ kind: "exec", session, wanted }, parts, { protocol, spdy });
  await act(client, cut);
  await running;
  return client;
}

function openAll(client: TestClient): void {
  client.open(1, { streamtype: "error" });
  client.open(3, { streamtype: "stdin" });
  client.open(5, { streamtype: "stdout" });
  client.open(7, { streamtype: "stderr" });
}

Deno.test("an exec over SPDY begins when all streams are open, and ends each of them", async () => {
  const service = new TestService();
  const client = await run({ args: ["cat", "3"], service }, async (client) => {
    client.open(1, { streamtype: "error" });
    client.open(3, { streamtype: "stdin" });
    client.open(5, { streamtype: "stdout" });
    client.data(3, "a\0b", FLAG_FIN);
    // Refused: nobody knows that type, and standard output is open already.
    client.open(7, { streamtype: "stdother" });
    client.open(9, { streamtype: "stdout" });
    await client.hears("8003000300000008" + "00000009" + "00000003");
    assert.deepEqual(service.sessions, []);
    client.open(11, { streamtype: "stderr" });
    await client.hears(endOf(1));
  });
  const status = '{"status":"Failure",' +
    '"message":"command terminated with non-zero exit code: exit code 3",' +
    '"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}';
  for (
    const heard of [
      frameOf(5, "a\0b"),
      endOf(5),
      frameOf(11, "done"),
      endOf(11),
      frameOf(1, status),
      endOf(3),
    ]
  ) assert.ok(client.got.includes(heard), heard);
});

Deno.test("data on streams that nobody reads does not stop a session", async () => {
  const client = await run({ args: ["cat"] }, async (client) => {
    openAll(client);
    client.open(9, { streamtype: "resize" });
    const much = new Uint8Array(STREAM_BUFFER_BYTES);
    for (const stream of [9, 5, 1]) {
      client.data(stream, much);
      client.data(stream, much);
    }
    client.data(3, "heard", FLAG_FIN);
    await client.hears(frameOf(5, "heard"));
  });
  assert.ok(client.got.includes(endOf(5)));
});

Deno.test("before version 4 a failure is a text, a success nothing, and 2 knows no resizing", async () => {
  for (
    const [args, said] of [
      [["exit", "0"], ""],
      [["exit", "5"], "command terminated with non-zero exit code: exit code 5"],
    ] as const
  ) {
    const protocol = "v2.channel.k8s.io";
    const client = await run({ args, protocol, terminal: true }, async (client) => {
      client.open(1, { streamtype: "error" });
      client.open(3, { streamtype: "stdin" });
      client.open(5, { streamtype: "stdout" });
      await client.hears(endOf(1));
    });
    if (said !== "") assert.ok(client.got.includes(frameOf(1, said)));
    else assert.ok(!client.got.includes(dataHeader(1, 0, 0).toHex().slice(0, 8) + "00"), "no data");
  }
});

Deno.test("a session that is cut is told so over SPDY", async () => {
  const service = new TestService();
  const reason = new UnavailableError("The server stops");
  const client = await run({ args: ["wait"], service }, async (client, cut) => {
    openAll(client);
    await service.begun;
    cut.abort(reason);
    await client.hears(endOf(1));
  });
  assert.equal(await service.gone, reason);
  for (const stream of [5, 7, 1]) assert.ok(client.got.includes(endOf(stream)), `${stream}`);
  assert.ok(client.got.includes(new TextEncoder().encode("The server stops").toHex()));
});

Deno.test("a client that goes before its streams are open leaves nothing behind", async () => {
  const service = new TestService();
  await run({ args: ["cat"], service }, (client) => {
    client.open(1, { streamtype: "error" });
    client.leave();
    return Promise.resolve();
  });
  assert.deepEqual(service.sessions, []);
});

async function forward(act: (client: TestClient) => Promise<void>): Promise<TestClient> {
  const client = new TestClient();
  const { parts } = sessionWith();
  const running = forwardBySpdy(
    { kind: "port-forward", sandbox: SANDBOX, ports: [] },
    parts,
    new SpdySession(client.connection),
  );
  await act(client);
  client.leave();
  await running;
  return client;
}

const half = (streamtype: string, port: number, requestid: string) => ({
  streamtype,
  port: String(port),
  requestid,
});

Deno.test("connections to several ports run beside each other over SPDY", async () => {
  await forward(async (client) => {
    client.open(1, half("error", 80, "0"), FLAG_FIN);
    client.open(3, half("error", 81, "1"), FLAG_FIN);
    client.open(5, half("data", 81, "1"));
    client.open(7, half("data", 80, "0"));
    client.data(7, "to 80");
    client.data(5, "to 81", FLAG_FIN);
    await client.hears(frameOf(7, "to 80"));
    await client.hears(frameOf(5, "to 81"));
    await client.hears(endOf(5));
    client.data(7, "more", FLAG_FIN);
    await client.hears(frameOf(7, "more"));
    await client.hears(endOf(7));
    await client.hears(endOf(1));
  });
});

Deno.test("a port on which nothing listens is told in the error stream, and the others go on", async () => {
  await forward(async (client) => {
    client.open(1, half("error", CLOSED_PORT, "0"), FLAG_FIN);
    client.open(3, half("data", CLOSED_PORT, "0"));
    await client.hears(
      frameOf(1, `error forwarding port 1 to pod ${SANDBOX}: connection refused`),
    );
    await client.hears("8003000300000008" + "00000003");
    client.open(5, half("error", 80, "1"), FLAG_FIN);
    client.open(7, half("data", 80, "1"));
    client.data(7, "hello");
    await client.hears(frameOf(7, "hello"));
  });
});

Deno.test("streams of a forwarded session that say nothing of use are refused", async () => {
  await forward(async (client) => {
    for (
      const [index, headers] of [
        half("data", 0, "0"),
        half("data", 65_536, "0"),
        { streamtype: "data", port: "80x" },
        { streamtype: "stdin", port: "80" },
        { port: "80" },
      ].entries()
    ) {
      const id = 2 * index + 1;
      client.open(id, headers);
      await client.hears("8003000300000008" + id.toString(16).padStart(8, "0") + "00000003");
    }
  });
});

Deno.test("clients that number no requests are served pair by pair", async () => {
  await forward(async (client) => {
    client.open(1, { streamtype: "error", port: "80" }, FLAG_FIN);
    client.open(3, { streamtype: "data", port: "80" });
    client.data(3, "hello");
    await client.hears(frameOf(3, "hello"));
  });
});

Deno.test("a second stream of the same kind and number is refused, and the first one goes on", async () => {
  await forward(async (client) => {
    client.open(1, half("data", 80, "0"));
    client.open(3, half("data", 80, "0"));
    await client.hears("8003000300000008" + "00000003");
    client.open(5, half("error", 80, "0"), FLAG_FIN);
    client.data(1, "hello");
    await client.hears(frameOf(1, "hello"));
  });
});

Deno.test("a session forwards as many connections as it may, and says so of one more", async () => {
  await forward(async (client) => {
    const open = (number: number) => {
      client.open(4 * number + 1, half("error", 80, `${number}`), FLAG_FIN);
      client.open(4 * number + 3, half("data", 80, `${number}`));
      return 4 * number + 1;
    };
    for (let number = 0; number < FORWARDED_CONNECTIONS_LIMIT; number++) open(number);
    client.data(4 * (FORWARDED_CONNECTIONS_LIMIT - 1) + 3, "the last one");
    await client.hears(frameOf(4 * (FORWARDED_CONNECTIONS_LIMIT - 1) + 3, "the last one"));
    const refused = open(FORWARDED_CONNECTIONS_LIMIT);
    await client.hears(
      frameOf(
        refused,
        `There are ${FORWARDED_CONNECTIONS_LIMIT} connections forwarded by this session already, ` +
          "which is the limit; end some of them",
      ),
    );
    client.data(3, "goes on", FLAG_FIN);
    await client.hears(frameOf(3, "goes on"));
    await client.hears(endOf(1));
    // All of it happens in memory: in the next turn the connection is over.
    await new Promise((resolve) => setTimeout(resolve));
    const served = open(FORWARDED_CONNECTIONS_LIMIT + 1) + 2;
    client.data(served, "in its place");
    await client.hears(frameOf(served, "in its place"));
  });
});

Deno.test("a half of a connection that sends before there is another half does not hold up the session", async () => {
  await forward(async (client) => {
    const reset = (id: number) =>
      "8003000300000008" + id.toString(16).padStart(8, "0") + "00000005";
    client.open(1, half("data", 80, "0"));
    // At once, before it can be known as a half.
    for (let at = 0; at <= STREAM_BUFFER_BYTES; at += 32_768) {
      client.data(1, new Uint8Array(32_768));
    }
    client.open(3, half("error", 80, "1"));
    await client.hears(reset(1));
    // Several that hold little each, but together all that a session may.
    let id = 5;
    for (let held = 0; held <= SESSION_BUFFER_BYTES; held += 131_072, id += 2) {
      client.open(id, half("data", 80, `of ${id}`));
      for (let part = 0; part < 4; part++) client.data(id, new Uint8Array(32_768));
    }
    // What a client says in an error stream is not read, and holds nothing up.
    for (let at = 0; at <= STREAM_BUFFER_BYTES; at += 32_768) {
      client.data(3, new Uint8Array(32_768));
    }
    client.open(id, half("data", 80, "1"));
    client.data(id, "hello");
    await client.hears(frameOf(id, "hello"));
  });
});
