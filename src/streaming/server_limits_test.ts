import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { converse } from "../../tests/support/stream_client.ts";
import { isEstablished } from "../../tests/support/tcp_state.ts";
import {
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
import { CONTAINER, SANDBOX, testServer, TestService } from "./_test_service.ts";
import { ATTACH_LIMIT, CONNECTIONS_LIMIT, PORT_FORWARD_SESSIONS_LIMIT } from "./limits.ts";
import type { StreamingServer } from "./server.ts";

/** Resolves when the server has answered; the caller ends the connection. */
function opened(url: string, text: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    socket.once("data", (chunk) => {
      if (chunk.toString("latin1").startsWith("HTTP/1.1 101 ")) resolve(socket);
      else reject(new Error(chunk.toString("latin1")));
    });
    socket.once("error", reject);
  });
}

Deno.test("as many ports are forwarded as may be, and one more is refused by the limit", async () => {
  await using server = await testServer(new TestService());
  const start = () => {
    const url = server.portForward(SANDBOX, [8080]);
    return {
      url,
      text: request(url, [...WS_HEADERS, "Sec-WebSocket-Protocol: v4.channel.k8s.io"]),
    };
  };
  const sessions = await Promise.all(
    Array.from({ length: PORT_FORWARD_SESSIONS_LIMIT }, () => {
      const { url, text } = start();
      return opened(url, text);
    }),
  );
  const { url, text } = start();
  const answer = await talk(url, text);
  assert.match(answer, /^HTTP\/1\.1 503 /);
  assert.match(answer, /There are 128 port-forward sessions already, which is the limit/);
  assert.equal((await converse(execUrl(server, ["exit", "0"]), "v4.channel.k8s.io")).code, 1000);
  const [first] = sessions;
  // The masked close of an empty mask; the answer to it comes once the session has ended.
  first!.write(new Uint8Array([0x88, 0x80, 0, 0, 0, 0]));
  await new Promise((resolve) => first!.resume().end().once("close", resolve));
  const next = start();
  sessions.push(await opened(next.url, next.text));
  for (const socket of sessions) socket.destroy();
});

Deno.test("as many clients are attached as may be, and one that is cut off is one of them until its connection is closed", async () => {
  const service = new TestService();
  const isCut = Promise.withResolvers<void>();
  service.attach = (_container, streams) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    streams.signal.addEventListener("abort", () => resolve());
    return promise;
  };
  await using server = await testServer(service);
  const start = () => {
    const url = server.attach(CONTAINER, ATTACH_WANTED);
    return { url, text: request(url, ATTACH_HEADERS.webSocket) };
  };
  const attached = await Promise.all(
    Array.from({ length: ATTACH_LIMIT - 1 }, () => {
      const { url, text } = start();
      return opened(url, text);
    }),
  );
  service.attach = (_container, streams) => {
    isCut.resolve();
    return cutOff(streams);
  };
  const slow = await switched(server.attach(CONTAINER, ATTACH_WANTED), ATTACH_HEADERS.webSocket);
  await isCut.promise;
  const attach = async (): Promise<string> => {
    const { url, text } = start();
    return await opened(url, text).then(
      (socket) => (attached.push(socket), "attached"),
      (refusal: Error) => refusal.message,
    );
  };
  const answer = await attach();
  // Unless this machine was so slow that the time for the last of it is over.
  if (await isEstablished(serverSide(slow))) {
    assert.match(answer, /^HTTP\/1\.1 503 /);
    assert.match(answer, /There are 128 attached clients already, which is the limit/);
  }
  slow.close();
  for (let tries = 0; attached.length < ATTACH_LIMIT; tries++) {
    assert.ok(tries < 10_000, await attach());
  }
  for (const socket of attached) socket.destroy();
});

/** Opens a session of its own; the caller ends the connection. */
function openedExec(server: StreamingServer): Promise<Socket> {
  const url = execUrl(server, ["cat"]);
  const headers = [...WS_HEADERS, "Sec-WebSocket-Protocol: v4.channel.k8s.io"];
  return opened(url, request(url, headers));
}

/** Says so much and no more. */
function saying(server: StreamingServer, text: string): Promise<Socket> {
  const { hostname, port } = new URL(server.baseUrl);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => {
      socket.write(text);
      resolve(socket.resume());
    });
    socket.once("error", reject);
  });
}

Deno.test("as many sessions are open as may be, and one more connection is refused by the limit", async () => {
  await using server = await testServer(new TestService());
  const sockets: Socket[] = [];
  while (sockets.length < CONNECTIONS_LIMIT) {
    const batch = Array.from({ length: CONNECTIONS_LIMIT / 8 }, () => openedExec(server));
    sockets.push(...await Promise.all(batch));
  }
  for (let again = 0; again < 2; again++) {
    const answer = await talk(server.baseUrl, request(server.baseUrl));
    assert.match(answer, /^HTTP\/1\.1 503 /);
    assert.match(answer, /There are 1024 streaming connections already, which is the limit/);
  }
  for (const socket of sockets) socket.destroy();
});

/** Resolves when the server has said this. */
function heard(socket: Socket, text: string): Promise<void> {
  let all = "";
  return new Promise((resolve) => {
    socket.on("data", (chunk) => {
      all += chunk.toString("latin1");
      if (all.includes(text)) resolve();
    });
  });
}

Deno.test("clients that have shown no URL lock nobody out: the oldest makes way, and no session does", async () => {
  await using server = await testServer(new TestService(), { headTimeoutMs: 600_000 });
  const session = await openedExec(server);
  const [oldest, next] = [await saying(server, ""), await saying(server, "")];
  const oldestLeft = new Promise((resolve) => oldest.once("end", resolve));
  const silent = await Promise.all(
    Array.from(
      { length: CONNECTIONS_LIMIT - 3 },
      (_, index) => saying(server, index % 2 === 0 ? "" : "GET / HT"),
    ),
  );
  const last = await openedExec(server);
  await oldestLeft;
  next.write(request(server.baseUrl));
  await heard(next, "HTTP/1.1 404 ");
  // Nor do those that are refused and do not end their connection.
  const refused = await Promise.all(
    Array.from({ length: CONNECTIONS_LIMIT }, () => saying(server, "GET / HTTP/1.0\r\n\r\n")),
  );
  const { code } = await converse(execUrl(server, ["exit", "0"]), "v4.channel.k8s.io");
  assert.equal(code, 1000);
  for (const socket of [session, last]) {
    const echo = heard(socket, "\x82\x03\x01hi");
    socket.write("\x82\x83\0\0\0\0\0hi", "latin1");
    await echo;
  }
  for (const socket of [oldest, next, ...silent, ...refused, session, last]) socket.destroy();
});
