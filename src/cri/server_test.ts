import assert from "node:assert/strict";
import { connect } from "node:net";
import { Buffer } from "node:buffer";
import { Client, credentials, status } from "@grpc/grpc-js";
import { UnavailableError } from "../errors/mod.ts";
import { PullImageRequest, RuntimeServiceDefinition } from "../proto/mod.ts";
import { createLogger } from "../telemetry/mod.ts";
import { serverOptions, startTestServer, TestClient } from "./_test_server.ts";
import { type Limit, RECEIVE_LIMIT_BYTES } from "./limits.ts";
import { CriServer } from "./server.ts";

const POD = {
  config: { metadata: { name: "web", namespace: "default", uid: "u-1", attempt: 0 } },
};

Deno.test("Version, Status and RuntimeConfig answer over the socket", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  const version = await client.call("version", {});
  assert.deepEqual(version, {
    version: "0.1.0",
    runtimeName: "sauropod",
    runtimeVersion: "1.37.0-test",
    runtimeApiVersion: "v1",
  });
  const answer = await client.call("status", { verbose: true });
  assert.deepEqual(
    answer.status?.conditions.map(({ type, status }) => [type, status]),
    [["RuntimeReady", true], ["NetworkReady", false]],
  );
  assert.deepEqual(answer.runtimeHandlers.map(({ name }) => name), ["", "crun", "runc"]);
  assert.deepEqual(JSON.parse(answer.info["config"] ?? ""), { sandboxImage: "" });
  const { linux } = await client.call("runtimeConfig", {});
  assert.equal(linux?.cgroupDriver, 1);
});

Deno.test("Every method of both services is registered", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  const later = [];
  for (const { name, responseStream } of Object.values(RuntimeServiceDefinition.methods)) {
    if (responseStream) continue;
    const path = `/runtime.v1.RuntimeService/${name}`;
    const details = await client.raw(path, new Uint8Array()).then(() => "", (e) => e.details);
    assert.doesNotMatch(details, /does not implement/i);
    if (/ is not implemented yet; remedy: /.test(details)) later.push(name);
  }
  assert.equal(later.length, 9);
  await assert.rejects(client.stream("streamContainerStats", {}), { code: status.UNIMPLEMENTED });
});

Deno.test("Events that are not enabled are a stream that ends at once", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  assert.deepEqual(await client.stream("getContainerEvents", {}), []);
});

Deno.test("A list is joined from messages that were encoded before", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  assert.deepEqual(await client.call("listPodSandbox", {}), { items: [] });
  const { podSandboxId } = await client.call("runPodSandbox", POD);
  const { items } = await client.call("listPodSandbox", {});
  assert.deepEqual(items.map(({ id, metadata }) => [id, metadata?.name]), [[podSandboxId, "web"]]);
  const streamed = await client.stream("streamPodSandboxes", {});
  assert.deepEqual(streamed.flatMap(({ podSandboxes }) => podSandboxes), items);
});

Deno.test("500 calls, GOAWAY, and further calls on a new connection", async () => {
  await using started = await startTestServer();
  for (let round = 0; round < 3; round++) {
    using client = new TestClient(started.path);
    for (let i = 0; i < 500; i++) await client.call("version", {});
  }
  using again = new TestClient(started.path);
  assert.equal((await again.call("version", {})).runtimeName, "sauropod");
});

Deno.test("200 calls at the same time are all answered", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  const ids = await Promise.all(
    Array.from({ length: 200 }, () => client.call("runPodSandbox", POD)),
  );
  assert.equal(new Set(ids.map(({ podSandboxId }) => podSandboxId)).size, 200);
});

/** Calls that are under way until they are let go. */
function heldCalls(): { readonly stop: () => Promise<void>; letGo(): void } {
  const release = Promise.withResolvers<void>();
  return { stop: () => release.promise, letGo: () => release.resolve() };
}

const CALL_LIMIT: Limit = { name: "calls of the test", max: 3, unit: "calls", reason: "a test" };
const FAR: Limit = { ...CALL_LIMIT, name: "far", max: 1_000 };
const STOP = { podSandboxId: "abc" };

for (const which of ["total", "perConnection"] as const) {
  Deno.test(`Calls are served up to the limit (${which}), one more is refused by its name`, async () => {
    const held = heldCalls();
    await using started = await startTestServer({
      sandboxes: { stop: held.stop },
      options: { callLimits: { total: FAR, perConnection: FAR, [which]: CALL_LIMIT } },
    });
    using client = new TestClient(started.path);
    using other = new TestClient(started.path);
    const under = Array.from({ length: 3 }, () => client.call("stopPodSandbox", STOP));
    // The fourth on the same connection comes after the three.
    await assert.rejects(client.call("stopPodSandbox", STOP), {
      code: status.RESOURCE_EXHAUSTED,
      details: /^3 calls are under way, .*"calls of the test"/,
    });
    await assert.rejects(client.stream("streamContainers", {}), {
      code: status.RESOURCE_EXHAUSTED,
    });
    await client.call("version", {});
    await client.call("status", {});
    const elsewhere = other.call("listContainers", {});
    if (which === "total") {
      await assert.rejects(elsewhere, { code: status.RESOURCE_EXHAUSTED });
    } else await elsewhere;
    held.letGo();
    await Promise.all(under);
    await client.call("listContainers", {});
    await other.call("listContainers", {});
  });
}

Deno.test("A call whose client has gone counts as long as its work goes on", async () => {
  const held = heldCalls();
  let entered = 0;
  const stop = () => (entered++, held.stop());
  await using started = await startTestServer({
    sandboxes: { stop },
    options: { callLimits: { total: CALL_LIMIT, perConnection: FAR } },
  });
  using client = new TestClient(started.path);
  // One that the server did not get to in time is not under way, or gets there after its client has gone.
  while (entered < 3) {
    await assert.rejects(
      client.call("stopPodSandbox", STOP, { deadlineMs: 200 }),
      ({ code }) => code === status.DEADLINE_EXCEEDED || code === status.RESOURCE_EXHAUSTED,
    );
  }
  await assert.rejects(client.call("listContainers", {}), { code: status.RESOURCE_EXHAUSTED });
  held.letGo();
  await client.call("version", {});
  await client.call("listContainers", {});
});

/** A message of exactly so many bytes: a field that nobody knows. */
function messageOf(bytes: number): Uint8Array {
  const message = new Uint8Array(bytes);
  const head = [0xfa, 0x3e]; // field 1007, bytes
  // The length has four bytes, whatever it is.
  for (let length = bytes - 6, at = 0; at < 4; at++, length >>>= 7) {
    head.push((length & 0x7f) | (at < 3 ? 0x80 : 0));
  }
  message.set(head);
  return message;
}

// The second is what CRI-O's configuration has, and means no more.
for (const receiveLimitBytes of [undefined, 80 * 1024 * 1024]) {
  Deno.test(`A request of 16 MiB is taken, one more byte is RESOURCE_EXHAUSTED and the connection goes on, configured: ${receiveLimitBytes}`, async () => {
    await using started = await startTestServer(
      receiveLimitBytes === undefined ? {} : { options: { receiveLimitBytes } },
    );
    using client = new TestClient(started.path);
    const path = "/runtime.v1.RuntimeService/Version";
    await client.raw(path, messageOf(RECEIVE_LIMIT_BYTES));
    await assert.rejects(client.raw(path, messageOf(RECEIVE_LIMIT_BYTES + 1)), {
      code: status.RESOURCE_EXHAUSTED,
    });
    assert.equal((await client.call("version", {})).runtimeName, "sauropod");
  });
}

Deno.test("A request of millions of empty entries is refused before they are made", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  // config (1) with 4 million empty mounts (field 7 of ContainerConfig), as config is field 2.
  const mounts = new Uint8Array(8_000_000);
  for (let i = 0; i < mounts.length; i += 2) mounts[i] = 0x3a;
  const head = [0x12];
  for (let length = mounts.length; length > 0; length >>>= 7) {
    head.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
  }
  const bytes = new Uint8Array(head.length + mounts.length);
  bytes.set(head);
  bytes.set(mounts, head.length);
  await assert.rejects(client.raw("/runtime.v1.RuntimeService/CreateContainer", bytes), {
    code: status.RESOURCE_EXHAUSTED,
    details: /more than 200000 fields/,
  });
});

Deno.test("Bytes that are no message are INVALID_ARGUMENT", async () => {
  await using started = await startTestServer();
  using client = new TestClient(started.path);
  await assert.rejects(
    client.raw("/runtime.v1.RuntimeService/RunPodSandbox", Uint8Array.from([0x0a, 0x7f, 1])),
    { code: status.INVALID_ARGUMENT, details: /is not a runtime.v1 message/ },
  );
});

Deno.test("An answer over the limit is RESOURCE_EXHAUSTED", async () => {
  let size = 1000;
  await using started = await startTestServer({
    sandboxes: { list: () => [new Uint8Array(1000), new Uint8Array(size)] },
    options: { sendLimitBytes: 2006 },
  });
  using client = new TestClient(started.path);
  const list = () => client.raw("/runtime.v1.RuntimeService/ListPodSandbox", new Uint8Array());
  assert.equal((await list()).length, 2006);
  size++;
  await assert.rejects(list(), {
    code: status.RESOURCE_EXHAUSTED,
    details: /2007 bytes, more than the 2006/,
  });
});

Deno.test("What a handler throws reaches the client with stage, field and remedy", async () => {
  await using started = await startTestServer({
    sandboxes: {
      run: () => {
        throw new UnavailableError("Could not attach the network podnet: plugin bridge failed", {
          stage: "network attach",
          remedy: "see the plugin's message",
        });
      },
      stop: () => {
        throw new TypeError("x is undefined");
      },
    },
  });
  using client = new TestClient(started.path);
  await assert.rejects(client.call("runPodSandbox", POD), {
    code: status.UNAVAILABLE,
    details: "Could not attach the network podnet: plugin bridge failed; stage: network attach; " +
      "remedy: see the plugin's message",
  });
  await assert.rejects(client.call("stopPodSandbox", { podSandboxId: "a" }), {
    code: status.INTERNAL,
    details: "Unforeseen error: x is undefined; the log has its origin",
  });
});

Deno.test("An error whose text holds half a character reaches the client, and the server goes on", async () => {
  await using started = await startTestServer({
    sandboxes: {
      stop: () => {
        throw new UnavailableError("The plugin says \ud83e");
      },
    },
  });
  using client = new TestClient(started.path);
  await assert.rejects(client.call("stopPodSandbox", { podSandboxId: "a" }), {
    code: status.UNAVAILABLE,
    details: "The plugin says \ufffd",
  });
  await client.call("version", {});
});

Deno.test("What a kubelet asks for again and again is told once if it is not built, and else not at all", async () => {
  const lines: string[] = [];
  const log = createLogger({
    level: "info",
    format: "json",
    sink: { write: (line) => void lines.push(line) },
  });
  await using started = await startTestServer({
    containers: {
      execSync: () =>
        Promise.resolve({
          stdout: new Uint8Array(),
          stderr: new Uint8Array(),
          exitCode: 0,
        }),
    },
    options: { log },
  });
  using client = new TestClient(started.path);
  for (let i = 0; i < 3; i++) {
    for (const method of ["listContainerStats", "podSandboxStats", "checkpointPod"] as const) {
      await assert.rejects(client.call(method, {}), { code: status.UNIMPLEMENTED });
    }
    await client.call("execSync", { containerId: "a", cmd: ["true"] });
    await client.call("listContainers", {});
  }
  const told = lines.map((line) => JSON.parse(line)).filter(({ method }) => method !== undefined);
  assert.deepEqual(told.map(({ method, level }) => `${level} ${method}`), [
    "warn ListContainerStats",
    "warn PodSandboxStats",
    "warn CheckpointPod",
    "warn CheckpointPod",
    "warn CheckpointPod",
  ]);
});

Deno.test("The caller's deadline is the handler's signal", async () => {
  const fired = Promise.withResolvers<unknown>();
  await using started = await startTestServer({
    images: {
      pull: ({ signal }) => {
        signal?.addEventListener("abort", () => fired.resolve(signal.reason));
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason));
        });
      },
    },
  });
  using client = new TestClient(started.path);
  await assert.rejects(
    client.call("pullImage", { image: { image: "busybox" } }, { deadlineMs: 200 }),
    { code: status.DEADLINE_EXCEEDED },
  );
  assert.match(String(await fired.promise), /deadline has passed|client has gone/);
});

Deno.test("Clients that go away in the middle of anything do no harm", async () => {
  await using started = await startTestServer();
  for (
    const bytes of [
      "",
      "P",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "PRI nonsense",
      "GET /in",
      "\0\0\0",
    ]
  ) {
    const socket = connect(started.path);
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    if (bytes !== "") await new Promise((resolve) => socket.write(bytes, resolve));
    socket.destroy();
  }
  const clients = Array.from({ length: 10 }, () => new TestClient(started.path));
  const calls = clients.flatMap((client) =>
    Array.from({ length: 10 }, () => client.call("runPodSandbox", POD).catch(() => {}))
  );
  for (const client of clients) client[Symbol.dispose]();
  await Promise.all(calls);
  using client = new TestClient(started.path);
  await client.call("version", {});
});

Deno.test("A client that cancels fires the handler's signal, long before its deadline", async () => {
  const entered = Promise.withResolvers<void>();
  const fired = Promise.withResolvers<unknown>();
  await using started = await startTestServer({
    images: {
      pull: ({ signal }) => {
        entered.resolve();
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => {
            fired.resolve(signal.reason);
            reject(signal.reason);
          });
        });
      },
    },
  });
  const client = new Client(`unix://${started.path}`, credentials.createInsecure());
  try {
    const request = PullImageRequest.encode(
      PullImageRequest.fromPartial({ image: { image: "busybox" } }),
    ).finish();
    const same = (bytes: Uint8Array) => Buffer.from(bytes);
    const path = "/runtime.v1.ImageService/PullImage";
    const call = client.makeUnaryRequest(path, same, same, request, () => {});
    await entered.promise;
    call.cancel();
    assert.match(String(await fired.promise), /client has gone/);
  } finally {
    client.close();
  }
});

Deno.test("A client whose first bytes come one by one is served its protocol", async () => {
  await using started = await startTestServer();
  const socket = connect(started.path);
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("data", (bytes) => resolve(bytes.toString("latin1")));
    socket.once("error", reject);
    socket.once("close", () => resolve("closed"));
  });
  // The preface and an empty SETTINGS frame.
  for (const part of ["P", "R", "I * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"]) {
    await new Promise((resolve) => socket.write(part, "latin1", resolve));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // A frame of type SETTINGS.
  assert.equal((await answer)[3], "\x04");
  socket.destroy();
});

Deno.test("The same socket serves HTTP/1.1", async () => {
  await using started = await startTestServer();
  assert.match(await get(started.path, "/info"), /200 OK[\s\S]*"storage_driver":"overlay"/);
  assert.match(await get(started.path, "/info?x=1"), /200 OK/);
  assert.match(await get(started.path, "/nothing"), /404 Not Found/);
  assert.match(await get(started.path, "/__proto__"), /404 Not Found/);
  assert.match(await get(started.path, "/%zz"), /400 Bad Request/);
  assert.match(await get(started.path, "/info", "POST"), /405 Method Not Allowed/);
});

Deno.test("Directory and socket are for the owner and the group only", async () => {
  await using started = await startTestServer();
  const socket = await Deno.lstat(started.path);
  assert.equal(socket.isSocket, true);
  assert.equal((socket.mode ?? 0) & 0o777, 0o660);
  const directory = await Deno.stat(`${started.directory}/run`);
  assert.equal((directory.mode ?? 0) & 0o777, 0o700);
  assert.deepEqual([...Deno.readDirSync(`${started.directory}/run`)].map(({ name }) => name), [
    "cri.sock",
  ]);
});

Deno.test("A socket that nobody answers on is replaced, one that is served is not", async () => {
  await using started = await startTestServer();
  const second = { ...serverOptions(), listen: started.path };
  await assert.rejects(CriServer.listen(second), {
    kind: "failed_precondition",
    message: /another server answers there/,
  });
  using client = new TestClient(started.path);
  await client.call("version", {});

  const stale = `${started.directory}/run/stale.sock`;
  // As a server that was killed leaves it.
  const killed = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "Deno.listen({transport: 'unix', path: Deno.args[0]}); Deno.kill(Deno.pid)",
      stale,
    ],
    stderr: "inherit",
  }).output();
  assert.equal(killed.signal, "SIGTERM");
  assert.equal((await Deno.lstat(stale)).isSocket, true);
  await using replaced = await CriServer.listen({ ...second, listen: `unix://${stale}` });
  using other = new TestClient(replaced.path);
  await other.call("version", {});
});

Deno.test("Of two servers that start at once on a dead socket, one wins", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const listen = `${directory}/cri.sock`;
    const all = await Promise.allSettled(
      Array.from({ length: 4 }, () => CriServer.listen({ ...serverOptions(), listen })),
    );
    const won = all.filter((result) => result.status === "fulfilled");
    assert.equal(won.length, 1);
    using client = new TestClient(listen);
    await client.call("version", {});
    await won[0]?.value.stop(0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("A file that is no socket is not replaced, nor a path too long for one", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/file`, "precious");
    await assert.rejects(CriServer.listen({ ...serverOptions(), listen: `${directory}/file` }), {
      message: /no socket is there/,
    });
    assert.equal(await Deno.readTextFile(`${directory}/file`), "precious");
    const listen = `${directory}/${"x".repeat(120)}`;
    await assert.rejects(CriServer.listen({ ...serverOptions(), listen }), {
      kind: "invalid_argument",
    });
    await assert.rejects(CriServer.listen({ ...serverOptions(), listen: "run/cri.sock" }), {
      message: /not an absolute path/,
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("Stopping lets calls finish, refuses new ones and removes the socket", async () => {
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await using started = await startTestServer({
    sandboxes: {
      stop: async () => {
        entered.resolve();
        await release.promise;
      },
    },
  });
  using client = new TestClient(started.path);
  const call = client.call("stopPodSandbox", { podSandboxId: "abc" });
  await entered.promise;
  const stopped = started.server.stop(30_000);
  release.resolve();
  await call;
  await stopped;
  await assert.rejects(Deno.lstat(started.path), Deno.errors.NotFound);
});

Deno.test("Stopping lets the last answers reach their clients, however large", async () => {
  const answer = new Uint8Array(1024 * 1024);
  for (let round = 0; round < 5; round++) {
    const entered = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let calls = 0;
    await using started = await startTestServer({
      containers: {
        execSync: async () => {
          if (++calls === 8) entered.resolve();
          await release.promise;
          return { stdout: answer, stderr: new Uint8Array(), exitCode: 0 };
        },
      },
    });
    const clients = Array.from({ length: 4 }, () => new TestClient(started.path));
    const answers = clients.flatMap((client) =>
      Array.from({ length: 2 }, () => client.call("execSync", { containerId: "a", cmd: ["b"] }))
    );
    await entered.promise;
    const stopped = started.server.stop(60_000);
    release.resolve();
    for (const { stdout } of await Promise.all(answers)) assert.equal(stdout.length, answer.length);
    await stopped;
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test("Stopping cuts calls that do not finish in time, and idle connections", async () => {
  const entered = Promise.withResolvers<void>();
  await using started = await startTestServer({
    sandboxes: {
      stop: () => {
        entered.resolve();
        return new Promise<void>(() => {});
      },
    },
  });
  using client = new TestClient(started.path);
  const idle = connect(started.path);
  idle.on("error", () => {});
  const closed = new Promise((resolve) => idle.once("close", resolve));
  const call = client.call("stopPodSandbox", { podSandboxId: "abc" });
  const failed = assert.rejects(call);
  await entered.promise;
  await started.server.stop(100);
  await failed;
  await closed;
});

function get(path: string, target: string, method = "GET"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    socket.on("data", (bytes) => text += bytes.toString());
    socket.once("end", () => resolve(text));
    socket.once("error", reject);
    socket.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  });
}
