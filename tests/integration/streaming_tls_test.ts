import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { CONTAINER, SANDBOX, testServer, TestService } from "../../src/streaming/_test_service.ts";
import type { StreamingServer, TlsOptions } from "../../src/streaming/mod.ts";
import { endOf, frameOf, TestClient } from "../../src/streaming/spdy/_test_client.ts";
import { FLAG_FIN } from "../../src/streaming/spdy/frames.ts";
import { CONNECTIONS_LIMIT } from "../../src/streaming/limits.ts";
import { TlsHandshakes } from "../../src/streaming/tls_handshakes.ts";
import { UnauthenticatedClients } from "../../src/streaming/unauthenticated_clients.ts";
import { createLinuxKernel, InotifyWatcher } from "../../src/sys/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";
import { Certificates } from "../support/certificates.ts";
import { converse, type Ended, message } from "../support/stream_client.ts";

/** An exec over `wss:` by a client that trusts the authority. */
async function execOverTls(
  server: StreamingServer,
  certificates: Certificates,
  args: readonly string[],
  send?: (socket: WebSocket) => void,
): Promise<Ended> {
  using client = Deno.createHttpClient({
    caCerts: [await Deno.readTextFile(certificates.path("ca.pem"))],
  });
  const wanted = { stdin: true, stdout: true, stderr: true, terminal: false };
  const url = server.exec({ container: CONTAINER, args, terminal: false }, wanted);
  return await converse(url, "v5.channel.k8s.io", send, client);
}

/** A client that never shakes hands. */
async function silentClient(server: StreamingServer): Promise<Socket> {
  const { hostname, port } = new URL(server.baseUrl);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  return socket;
}

/** A client that has shaken hands. */
async function secureClient(
  server: StreamingServer,
  certificates: Certificates,
): Promise<TLSSocket> {
  const { hostname, port } = new URL(server.baseUrl);
  const ca = await Deno.readTextFile(certificates.path("ca.pem"));
  const socket = connectTls({ host: hostname, port: Number(port), ca });
  await once(socket, "secureConnect");
  return socket;
}

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

const HANG_MS = 60_000;
const SERVED = /HTTP\/1\.1 404 Not Found/;

Deno.test("the streaming server speaks TLS from the version on that is configured", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  assert.match(server.baseUrl, /^https:\/\/127\.0\.0\.1:\d+$/);
  const answer = await certificates.ask(server);
  assert.match(answer, SERVED);
  assert.match(answer, /Verify return code: 0 \(ok\)/);
  assert.match(await certificates.ask(server, "-tls1_2"), SERVED);
  const tls = certificates.options({ minVersion: "VersionTLS13" });
  await using newer = await testServer(new TestService(), { tls });
  assert.match(await certificates.ask(newer), SERVED);
  assert.doesNotMatch(await certificates.ask(newer, "-tls1_2"), /HTTP/);
});

Deno.test("with an authority of clients only its clients are served", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options({ clientAuthorityPath: certificates.path("ca.pem") });
  await using server = await testServer(new TestService(), { tls });
  const as = (name: string) => ["-cert", `${name}.pem`, "-key", `${name}.key`];
  assert.match(await certificates.ask(server, ...as("client")), SERVED);
  assert.doesNotMatch(await certificates.ask(server, ...as("stranger")), /HTTP/);
  assert.doesNotMatch(await certificates.ask(server), /HTTP/);
});

Deno.test("a suite of TLS 1.2 that is not listed ends the connection", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options({ cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] });
  await using server = await testServer(new TestService(), { tls });
  const with12 = (suite: string) => certificates.ask(server, "-tls1_2", "-cipher", suite);
  assert.match(await with12("ECDHE-ECDSA-AES128-GCM-SHA256"), SERVED);
  assert.doesNotMatch(await with12("ECDHE-ECDSA-AES256-GCM-SHA384"), /HTTP/);
});

Deno.test("files that change are taken when they fit, and otherwise not", async () => {
  await using certificates = await Certificates.make();
  using fileWatcher = new InotifyWatcher(createLinuxKernel());
  const told: string[] = [];
  let wake = () => {};
  const tell = (message: string) => (told.push(message), wake());
  const log = { debug() {}, warn() {}, info: tell, error: tell, with: () => log };
  await using server = await testServer(new TestService(), {
    tls: certificates.options(),
    fileWatcher,
    log,
  });
  const hears = async (text: string) => {
    while (!told.some((message) => message.includes(text))) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  };
  await Deno.writeTextFile(certificates.path("server.pem"), "nonsense");
  await hears("keeps its certificates");
  assert.match(await certificates.ask(server), /Verify return code: 0 \(ok\)/);
  // A pair of another authority, which the client does not trust.
  await certificates.sign("next", "other-ca", "subjectAltName=IP:127.0.0.1");
  await Deno.rename(certificates.path("next.key"), certificates.path("server.key"));
  await Deno.rename(certificates.path("next.pem"), certificates.path("server.pem"));
  await hears("uses new certificates");
  assert.match(await certificates.ask(server), /Verify return code: (20|21) /);
});

Deno.test("a session over TLS copies both ways, ends standard input alone and says how it ended", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  const text = "0123456789abcdef".repeat(4_096);
  const ended = await execOverTls(server, certificates, ["cat", "7"], (socket) => {
    for (let piece = 0; piece < 16; piece++) socket.send(message(0, text));
    socket.send(Uint8Array.of(255, 0));
  });
  assert.equal(ended.channels.get(1), text.repeat(16));
  assert.equal(ended.channels.get(2), "done");
  assert.equal(JSON.parse(ended.channels.get(3) ?? "").details.causes[0].message, "7");
  assert.equal(ended.code, 1000);
});

Deno.test("more output than a connection holds reaches a client over TLS whole", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  const size = 8 * 1024 * 1024;
  const ended = await execOverTls(server, certificates, ["yes", String(size)]);
  assert.equal(ended.channels.get(1)?.length, size);
  assert.deepEqual(JSON.parse(ended.channels.get(3) ?? ""), { status: "Success" });
});

/** A client by SPDY behind the switch of protocols. */
async function spdyOverTls(
  server: StreamingServer,
  certificates: Certificates,
  { url, protocol }: { readonly url: string; readonly protocol: string },
): Promise<{ readonly client: TestClient; readonly ended: Promise<unknown> }> {
  const socket = await secureClient(server, certificates);
  const ended = once(socket, "close");
  const { pathname, host } = new URL(url);
  const head = once(socket, "data");
  socket.write(
    `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  assert.match(String(await head), /^HTTP\/1\.1 101 [^]*\r\n\r\n$/);
  const client = new TestClient();
  const { source, sink } = client.connection;
  socket.on("data", (chunk: Uint8Array) => void sink.write(chunk));
  void (async () => {
    // Lent until the next one; the socket keeps what it has not sent.
    for await (const chunk of source) socket.write(chunk.slice());
    socket.end();
  })();
  return { client, ended };
}

Deno.test("an exec by SPDY over TLS copies both ways and says how it ended", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  const wanted = { stdin: true, stdout: true, stderr: true, terminal: false };
  const url = server.exec({ container: CONTAINER, args: ["cat", "3"], terminal: false }, wanted);
  const { client, ended } = await spdyOverTls(server, certificates, {
    url,
    protocol: "v4.channel.k8s.io",
  });
  for (const [index, streamtype] of ["error", "stdin", "stdout", "stderr"].entries()) {
    client.open(2 * index + 1, { streamtype });
  }
  client.data(3, "typed", FLAG_FIN);
  await ended;
  const { got } = client;
  for (const heard of [frameOf(5, "typed"), endOf(5), frameOf(7, "done"), endOf(7), endOf(1)]) {
    assert.ok(got.includes(heard), heard);
  }
  const status = new TextEncoder().encode('{"reason":"ExitCode","message":"3"}').toHex();
  assert.ok(got.includes(status));
});

Deno.test("a port is forwarded by SPDY over TLS, in both directions to their ends", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  const { client, ended } = await spdyOverTls(server, certificates, {
    url: server.portForward(SANDBOX, []),
    protocol: "portforward.k8s.io",
  });
  client.open(1, { streamtype: "error", port: "8080", requestid: "0" }, FLAG_FIN);
  client.open(3, { streamtype: "data", port: "8080", requestid: "0" });
  client.data(3, "to the port and back");
  await client.hears(frameOf(3, "to the port and back"));
  client.data(3, "", FLAG_FIN);
  await client.hears(endOf(3));
  await client.hears(endOf(1));
  client.leave();
  await ended;
});

Deno.test("a client that does not shake hands in time is left", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options();
  await using server = await testServer(new TestService(), { tls, headTimeoutMs: 50 });
  const silent = await silentClient(server);
  silent.resume();
  await once(silent, "close");
  // Nor one that stops in the middle.
  const half = await silentClient(server);
  half.write(new Uint8Array([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
  half.resume();
  await once(half, "close");
});

Deno.test("a client that is reset and comes again from its port is left in time as well", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options();
  const context = {
    cert: await Deno.readTextFile(tls.certificatePath),
    key: await Deno.readTextFile(tls.keyPath),
    ca: undefined,
  };
  using handshakes = new TlsHandshakes({
    tls,
    context,
    timeoutMs: 50,
    unauthenticated: new UnauthenticatedClients(),
    log: silentLogger,
    onSecure: (socket) => socket.destroy(),
  });
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(
    0,
    "127.0.0.1",
  );
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const connected = async () => {
    const client = connect(port, "127.0.0.1").resume();
    const closed = once(client, "close", { signal: AbortSignal.timeout(HANG_MS) });
    const [accepted] = await once(listener, "connection") as [Socket];
    return { accepted, closed };
  };
  const [before, again] = [await connected(), await connected()];
  Object.defineProperty(again.accepted, "remotePort", { value: before.accepted.remotePort });
  handshakes.begin(before.accepted);
  handshakes.begin(again.accepted);
  // The reset of the first is only heard now.
  before.accepted.destroy();
  await Promise.all([before.closed, again.closed]);
  assert.equal(handshakes.size, 0);
  await new Promise((resolve) => listener.close(resolve));
});

Deno.test("handshakes that are never finished lock nobody out", async () => {
  await using certificates = await Certificates.make();
  const tls = certificates.options();
  await using server = await testServer(new TestService(), { tls, headTimeoutMs: 600_000 });
  const first = await silentClient(server);
  const guard = AbortSignal.timeout(HANG_MS);
  const firstLeft = once(first.resume(), "close", { signal: guard });
  const others = Array.from({ length: CONNECTIONS_LIMIT - 1 }, () => silentClient(server));
  const silent = await Promise.all(others);
  const ended = await execOverTls(server, certificates, ["exit", "0"]);
  assert.deepEqual(JSON.parse(ended.channels.get(3) ?? ""), { status: "Success" });
  await firstLeft;
  for (const socket of silent) socket.destroy();
});

Deno.test("a server that stops waits for no handshake, and ends the sessions over TLS", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  const silent = await silentClient(server);
  const silentEnded = once(silent.resume(), "close");
  const ended = await execOverTls(
    server,
    certificates,
    ["wait"],
    () => void server.stop(60_000),
  );
  assert.match(ended.channels.get(3) ?? "", /The server stops/);
  assert.equal(ended.code, 1001);
  await silentEnded;
  await server.stop(0);
});

Deno.test("clients that leave before, in and after the handshake leave no descriptor", async () => {
  await using certificates = await Certificates.make();
  await using server = await testServer(new TestService(), { tls: certificates.options() });
  // What the first session makes stays.
  await execOverTls(server, certificates, ["exit", "0"]);
  const before = openDescriptors();
  const leave = {
    gone: (socket: Socket) => void socket.destroy(),
    reset: (socket: Socket) => void socket.resetAndDestroy(),
    garbled: (socket: Socket) => void socket.end("GET / HTTP/1.1\r\n\r\n"),
    halfway: (socket: Socket) => void socket.end(new Uint8Array([0x16, 0x03, 0x01, 0x02, 0x00])),
  };
  for (const [how, act] of Object.entries(leave)) {
    await Promise.all(Array.from({ length: 100 }, async () => {
      const socket = await silentClient(server);
      socket.on("error", () => {});
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.resume();
      act(socket);
      await closed;
    }));
    // The server hears of the last one later than the client.
    for (let tries = 0; openDescriptors() > before; tries++) {
      assert.ok(tries < 1_000, `${how}: ${openDescriptors() - before} descriptors are left`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});

Deno.test("clients of a new authority are served once its file has changed, and those of the old no more", async () => {
  await using certificates = await Certificates.make();
  using fileWatcher = new InotifyWatcher(createLinuxKernel());
  const { promise, resolve } = Promise.withResolvers<void>();
  const log = {
    ...silentLogger,
    info: (text: string) => /uses new certificates/.test(text) && resolve(),
  };
  const clientAuthorityPath = certificates.path("clients.pem");
  await Deno.copyFile(certificates.path("ca.pem"), clientAuthorityPath);
  const tls = certificates.options({ clientAuthorityPath });
  await using server = await testServer(new TestService(), { tls, fileWatcher, log });
  const as = (name: string) => ["-cert", `${name}.pem`, "-key", `${name}.key`];
  assert.match(await certificates.ask(server, ...as("client")), SERVED);
  assert.doesNotMatch(await certificates.ask(server, ...as("stranger")), /HTTP/);
  await Deno.copyFile(certificates.path("other-ca.pem"), certificates.path("next.pem"));
  await Deno.rename(certificates.path("next.pem"), clientAuthorityPath);
  await promise;
  assert.match(await certificates.ask(server, ...as("stranger")), SERVED);
  assert.doesNotMatch(await certificates.ask(server, ...as("client")), /HTTP/);
});

Deno.test("files of no use stop the start and are named", async () => {
  await using certificates = await Certificates.make();
  const start = (more: Partial<TlsOptions>) =>
    testServer(new TestService(), { tls: certificates.options(more) });
  await assert.rejects(start({ keyPath: "" }), /api\.stream_tls_key is not set/);
  await assert.rejects(
    start({ keyPath: certificates.path("client.key") }),
    /api\.stream_tls_key .*client\.key cannot be used: it is not the certificate's key/,
  );
  await assert.rejects(
    start({ certificatePath: certificates.path("absent.pem") }),
    /api\.stream_tls_cert .*absent\.pem cannot be used/,
  );
  await assert.rejects(
    start({ clientAuthorityPath: certificates.path("server.ext") }),
    /api\.stream_tls_ca .*server\.ext cannot be used/,
  );
  await assert.rejects(
    start({ cipherSuites: ["TLS_RSA_WITH_AES_128_CBC_SHA"] }),
    /api\.tls_cipher_suites names no suite that is spoken here/,
  );
});
