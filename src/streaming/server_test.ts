import assert from "node:assert/strict";
import { converse, message } from "../../tests/support/stream_client.ts";
import { closedByServer, isEstablished } from "../../tests/support/tcp_state.ts";
import { ResourceExhaustedError } from "../errors/mod.ts";
import {
  ALL,
  ATTACH_HEADERS,
  ATTACH_WANTED,
  cutOff,
  execUrl,
  request,
  serverSide,
  switched,
  talk,
  WS_HEADERS,
} from "./_test_requests.ts";
import {
  CLOSED_PORT,
  CLOSING_PORT,
  CONTAINER,
  SANDBOX,
  testServer,
  TestService,
} from "./_test_service.ts";
import { HEAD_LIMIT_BYTES, MESSAGE_BYTES, UNREAD_INPUT_BYTES } from "./limits.ts";
import { GOLDEN } from "./spdy/_test_client.ts";

const HAS_IPV6 = Deno.networkInterfaces().some(({ address }) => address === "::1");
const SUCCESS = '{"status":"Success"}';

Deno.test("an exec by v5.channel.k8s.io copies, closes stdin alone and says how it ended", async () => {
  await using server = await testServer(new TestService());
  const ended = await converse(execUrl(server, ["cat", "7"]), "v5.channel.k8s.io", (socket) => {
    socket.send(message(0, "a\0b"));
    socket.send(message(0, "\r\n"));
    socket.send(Uint8Array.of(255, 0));
  });
  assert.equal(ended.protocol, "v5.channel.k8s.io");
  assert.equal(ended.channels.get(1), "a\0b\r\n");
  assert.equal(ended.channels.get(2), "done");
  assert.deepEqual(JSON.parse(ended.channels.get(3) ?? ""), {
    status: "Failure",
    message: "command terminated with non-zero exit code: exit code 7",
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: "7" }] },
  });
  assert.equal(ended.code, 1000);
});

Deno.test("the older sub-protocols say their status as Kubernetes does", async () => {
  await using server = await testServer(new TestService());
  for (
    const [protocol, success, failure] of [
      ["v4.channel.k8s.io", SUCCESS, /"reason":"NonZeroExitCode"/],
      ["v4.base64.channel.k8s.io", SUCCESS, /"reason":"NonZeroExitCode"/],
      ["channel.k8s.io", undefined, /^command terminated with non-zero exit code: exit code 3$/],
      ["base64.channel.k8s.io", undefined, /^command terminated with non-zero/],
    ] as const
  ) {
    const good = await converse(execUrl(server, ["exit", "0"]), protocol);
    assert.equal(good.channels.get(3), success, protocol);
    assert.equal(good.channels.get(1), "", `${protocol}: a first empty message`);
    const bad = await converse(execUrl(server, ["exit", "3"]), protocol);
    assert.match(bad.channels.get(3) ?? "", failure, protocol);
  }
});

Deno.test("an exec that fails is told as an internal error", async () => {
  await using server = await testServer(new TestService());
  const { channels } = await converse(execUrl(server, ["fail"]), "v4.channel.k8s.io");
  assert.deepEqual(JSON.parse(channels.get(3) ?? ""), {
    status: "Failure",
    message: "Internal error occurred: error executing command in container: no such program",
    reason: "InternalError",
    code: 500,
  });
});

Deno.test("terminal sizes reach the command, without those that are none", async () => {
  await using server = await testServer(new TestService());
  const url = execUrl(server, ["sizes", "1"], { terminal: true, stderr: false });
  const { channels } = await converse(url, "v4.channel.k8s.io", (socket) => {
    socket.send(message(4, '{"Width":0,"Height":0}{"Wid'));
    socket.send(message(4, 'th":132,"Height":43}'));
  });
  assert.equal(channels.get(1), "132x43 ");
});

Deno.test("output of many megabytes arrives whole in messages that a client can hold", async () => {
  await using server = await testServer(new TestService());
  const url = execUrl(server, ["yes", String(20_000_001)]);
  const { channels } = await converse(url, "v4.channel.k8s.io");
  assert.equal(channels.get(1)?.length, 20_000_001);
  assert.equal(channels.get(3), SUCCESS);
});

Deno.test("a client that goes away ends the command", async () => {
  const service = new TestService();
  await using server = await testServer(service);
  const ended = converse(
    execUrl(server, ["wait"]),
    "v4.channel.k8s.io",
    (socket) => socket.close(),
  );
  assert.match(String(await service.gone), /The client has closed the WebSocket/);
  await ended;
});

Deno.test("a stop of the server ends open sessions with a status", async () => {
  const service = new TestService();
  const server = await testServer(service);
  let stopped: Promise<void> | undefined;
  const { channels, code } = await converse(
    execUrl(server, ["wait"]),
    "v4.channel.k8s.io",
    () => stopped = server.stop(60_000),
  );
  assert.equal(code, 1001);
  assert.match(channels.get(3) ?? "", /the session was cut: The server stops/);
  await stopped;
});

Deno.test("an attached client that is cut off reads why, behind what it had still to take", async () => {
  const service = new TestService();
  const output = new Uint8Array(64 << 10);
  service.attach = (_container, { stdout }) => {
    for (let count = 0; count < 64; count++) stdout?.write(output).catch(() => {});
    return Promise.reject(new ResourceExhaustedError("The client reads too slowly"));
  };
  await using server = await testServer(service);
  const wanted = { stdin: false, stdout: true, stderr: false, terminal: false };
  const { channels } = await converse(server.attach(CONTAINER, wanted), "v5.channel.k8s.io");
  assert.equal(channels.get(1)?.length, 64 * output.length);
  assert.match(channels.get(3) ?? "", /error attaching to container: The client reads too slowly/);
});

Deno.test("an attached client that is cut off loses its connection, also if it takes nothing", async () => {
  const service = new TestService();
  service.attach = (_container, streams) => cutOff(streams);
  await using server = await testServer(service);
  const sessions = Object.entries(ATTACH_HEADERS).map(async ([name, headers]) => {
    using socket = await switched(server.attach(CONTAINER, ATTACH_WANTED), headers);
    if (name === "spdy") {
      const { error, stdin, stdout } = GOLDEN;
      await socket.write(Uint8Array.fromHex(error + stdin + stdout));
    }
    const ports = serverSide(socket);
    assert.ok(await isEstablished(ports), name);
    await closedByServer(ports);
  });
  await Promise.all(sessions);
});

Deno.test("a session without traffic is ended after the idle time-out", async () => {
  await using server = await testServer(new TestService(), { idleTimeoutMs: 20 });
  const { channels, code } = await converse(execUrl(server, ["wait"]), "v4.channel.k8s.io");
  assert.equal(code, 1001);
  assert.match(channels.get(3) ?? "", /Nothing came or went for 0.02 s/);
});

Deno.test("a URL is good for one use, of its own kind, and also used up by a failed try", async () => {
  await using server = await testServer(new TestService());
  const used = execUrl(server, ["exit", "0"]);
  await converse(used, "v4.channel.k8s.io");
  const answer = await talk(used, request(used, WS_HEADERS));
  assert.match(answer, /^HTTP\/1\.1 404 /);
  // client-go reads an answer as YAML and, where it is a mapping, shows nothing of it.
  assert.doesNotMatch(answer.slice(answer.indexOf("\r\n\r\n")), /: /);

  const failed = execUrl(server, ["exit", "0"]);
  assert.match(await talk(failed, request(failed)), /^HTTP\/1\.1 400 /);
  assert.match(await talk(failed, request(failed, WS_HEADERS)), /^HTTP\/1\.1 404 /);

  const other = execUrl(server, ["exit", "0"]).replace("/exec/", "/attach/");
  assert.match(await talk(other, request(other, WS_HEADERS)), /^HTTP\/1\.1 404 /);

  const method = execUrl(server, ["exit", "0"]);
  assert.match(await talk(method, request(method, [], "PUT")), /^HTTP\/1\.1 405 /);
  await converse(method, "v4.channel.k8s.io");
});

Deno.test("command lines of URLs that nobody uses are held up to a limit, and until the stop", async () => {
  await using server = await testServer(new TestService());
  const args = Array.from({ length: 48 }, () => "x".repeat(131_000));
  const used = execUrl(server, args);
  execUrl(server, args);
  assert.throws(() => execUrl(server, args), {
    name: "ResourceExhaustedError",
    message:
      /^cmd takes 6289536 bytes, .* hold 12579072: .*"arguments of streaming URLs not used yet"/,
  });
  execUrl(server, ["exit", "0"]);
  server.attach(CONTAINER, ALL);
  await converse(used, "v4.channel.k8s.io");
  execUrl(server, args);
  await server.stop();
  assert.throws(() => execUrl(server, args), { name: "UnavailableError" });
});

Deno.test("a handshake that cannot be is answered with its reason", async () => {
  await using server = await testServer(new TestService());
  const without = (name: string) => WS_HEADERS.filter((header) => !header.startsWith(name));
  for (
    const [headers, method, status] of [
      [[...WS_HEADERS, "Sec-WebSocket-Protocol: v9.channel.k8s.io"], "GET", 403],
      [without("Sec-WebSocket-Key"), "GET", 400],
      [[...without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"], "GET", 400],
      [WS_HEADERS, "POST", 405],
      [["Connection: Upgrade", "Upgrade: SPDY/3.1"], "POST", 400],
      [
        [
          "Connection: Upgrade",
          "Upgrade: SPDY/3.1",
          "X-Stream-Protocol-Version: v9.channel.k8s.io",
        ],
        "POST",
        403,
      ],
      [["X-Stream-Protocol-Version: v4.channel.k8s.io"], "POST", 400],
    ] as const
  ) {
    const url = execUrl(server, ["exit", "0"]);
    const answer = await talk(url, request(url, headers, method));
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${headers.join()}: ${answer}`);
  }
  const url = execUrl(server, ["exit", "0"]);
  const answer = await talk(
    url,
    request(url, [...WS_HEADERS, "Sec-WebSocket-Protocol: v9.channel.k8s.io, v4.channel.k8s.io"]) +
      "\x88\x80\0\0\0\0",
  );
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.match(answer, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
  assert.match(answer, /\r\nSec-WebSocket-Protocol: v4\.channel\.k8s\.io\r\n/);
});

Deno.test("a head that is too long, or none, is refused", async () => {
  await using server = await testServer(new TestService());
  const { baseUrl } = server;
  const long = `X-Filler: ${"x".repeat(HEAD_LIMIT_BYTES)}`;
  assert.match(await talk(baseUrl, request(baseUrl, [long])), /^HTTP\/1\.1 431 /);
  assert.match(await talk(baseUrl, "\x16\x03\x01\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.match(await talk(baseUrl, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 505 /);
  assert.match(
    await talk(baseUrl, request(baseUrl, ["Content-Length: 5"], "POST")),
    /^HTTP\/1\.1 413 /,
  );
});

Deno.test("a message that breaks the protocol ends the session with its code", async () => {
  await using server = await testServer(new TestService());
  const ended = await converse(
    execUrl(server, ["cat"]),
    "v5.channel.k8s.io",
    (socket) => socket.send(Uint8Array.of(255)),
  );
  assert.equal(ended.code, 1002);
  const wrong = await converse(
    execUrl(server, ["cat"]),
    "v4.base64.channel.k8s.io",
    (socket) => socket.send("0%%%%"),
  );
  assert.equal(wrong.code, 1003);
});

Deno.test("a client's close is answered with its own code, or with none as it had none", async () => {
  await using server = await testServer(new TestService());
  for (const code of ["", "\x03\xe9", "\x0f\xa0"]) {
    const url = execUrl(server, ["wait"]);
    const close = `\x88${String.fromCharCode(0x80 + code.length)}\0\0\0\0${code}`;
    const heard = await talk(
      url,
      request(url, [...WS_HEADERS, "Sec-WebSocket-Protocol: v4.channel.k8s.io"]) + close,
    );
    assert.ok(heard.endsWith(`\x88${String.fromCharCode(code.length)}${code}`), heard);
  }
});

Deno.test("ports are forwarded by channels, each announced first", async () => {
  await using server = await testServer(new TestService());
  const url = server.portForward(SANDBOX, [8080, CLOSED_PORT]);
  const ended = await converse(url, "v4.channel.k8s.io", (socket) => {
    const awaited = new Set(["hello", "connection refused"]);
    socket.addEventListener("message", ({ data }) => {
      const text = new TextDecoder().decode(data as ArrayBuffer);
      for (const word of awaited) if (text.endsWith(word)) awaited.delete(word);
      if (awaited.size === 0) socket.close();
    });
    socket.send(message(0, "hello"));
  });
  assert.equal(ended.channels.get(0), "\x90\x1fhello");
  assert.equal(ended.channels.get(1), "\x90\x1f");
  assert.match(ended.channels.get(3) ?? "", /error forwarding port 1 .*: connection refused$/s);
  const none = server.portForward(SANDBOX, []);
  assert.match(
    await talk(none, request(none, [...WS_HEADERS, "Sec-WebSocket-Protocol: v4.channel.k8s.io"])),
    /^HTTP\/1\.1 400 /,
  );
});

Deno.test("a port that cannot be forwarded does not hold up the others, whatever is sent for it", async () => {
  await using server = await testServer(new TestService());
  const url = server.portForward(SANDBOX, [8080, CLOSED_PORT]);
  const ended = await converse(url, "v4.channel.k8s.io", (socket) => {
    socket.addEventListener("message", ({ data }) => {
      if (new TextDecoder().decode(data as ArrayBuffer).endsWith("hello")) socket.close();
    });
    const share = UNREAD_INPUT_BYTES / 2;
    for (let sent = 0; sent <= share; sent += MESSAGE_BYTES) {
      socket.send(message(2, "x".repeat(MESSAGE_BYTES)));
    }
    socket.send(message(0, "hello"));
  });
  assert.equal(ended.channels.get(0), "\x90\x1fhello");
});

Deno.test("a port whose program closes ends its channels' session, as no message could say so", async () => {
  await using server = await testServer(new TestService());
  const ended = await converse(server.portForward(SANDBOX, [CLOSING_PORT]), "v4.channel.k8s.io");
  assert.equal(ended.channels.get(0), "\x02\0bye");
  assert.equal(ended.channels.get(1), "\x02\0");
  assert.equal(ended.code, 1000);
});

for (const address of ["0.0.0.0", "127.0.0.1", "::", "0:0:0:0:0:0:0:1"]) {
  Deno.test({
    name: `clients on this host reach a server at ${address} by its URL`,
    ignore: address.includes(":") && !HAS_IPV6,
    async fn() {
      await using server = await testServer(new TestService(), { address });
      const host = address.includes(":") ? "[::1]" : "127.0.0.1";
      assert.equal(new URL(server.baseUrl).hostname, host);
      const url = execUrl(server, ["exit", "0"]);
      assert.equal((await converse(url, "v4.channel.k8s.io")).channels.get(3), SUCCESS);
      // At every address means also at the other family's.
      const other = url.replace(host, "127.0.0.1");
      if (address === "::") assert.match(await talk(other, request(other)), /^HTTP/);
    },
  });
}

Deno.test("an address that is not this host's is named", async () => {
  await assert.rejects(testServer(new TestService(), { address: "192.0.2.1" }), {
    name: "UnavailableError",
    message: /192\.0\.2\.1 port 0/,
  });
});

Deno.test("a client that says nothing is told so in time, and left", async () => {
  await using server = await testServer(new TestService(), { headTimeoutMs: 20 });
  assert.match(await talk(server.baseUrl, ""), /^HTTP\/1\.1 408 .*within 0\.02 s/s);
});

Deno.test("a port that is taken is named", async () => {
  await using server = await testServer(new TestService());
  const port = Number(new URL(server.baseUrl).port);
  await assert.rejects(testServer(new TestService(), { port }), {
    name: "UnavailableError",
    message: new RegExp(`127.0.0.1 port ${port}`),
  });
});
