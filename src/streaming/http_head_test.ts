import assert from "node:assert/strict";
import type { Connection } from "./connection.ts";
import { hasWord, listHeader, parseHead, readHead, RefusedRequest } from "./http_head.ts";

const parse = (...lines: readonly string[]) =>
  parseHead(new TextEncoder().encode(lines.join("\r\n")));

Deno.test("parseHead reads the path without query, and headers whatever their case", () => {
  const head = parse(
    "POST /exec/abc?x=1 HTTP/1.1",
    "Host: h",
    "CONNECTION: keep-alive,  Upgrade",
    "X-Stream-Protocol-Version: v4.channel.k8s.io",
    "x-stream-protocol-version:v3.channel.k8s.io , v2.channel.k8s.io",
    "Content-Length: 0",
  );
  assert.equal(head.method, "POST");
  assert.equal(head.path, "/exec/abc");
  assert.ok(hasWord(head, "connection", "upgrade"));
  assert.ok(!hasWord(head, "connection", "keep"));
  assert.deepEqual(listHeader(head, "x-stream-protocol-version"), [
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
  ]);
});

Deno.test("parseHead refuses what two readers could understand in two ways", () => {
  for (
    const [status, ...lines] of [
      [400, "GET  / HTTP/1.1", "Host: h"],
      [400, "get / HTTP/1.1", "Host: h"],
      [400, "GET http://h/ HTTP/1.1", "Host: h"],
      [400, "GET /\x7f HTTP/1.1", "Host: h"],
      [400, "GET / HTTP/1.1", "Host : h"],
      [400, "GET / HTTP/1.1", "Host: h", " folded"],
      [400, "GET / HTTP/1.1", "Host: h", "X: a\nY: b"],
      [400, "GET / HTTP/1.1", "Host: h", "X: a\rb"],
      [400, "GET / HTTP/1.1", "Host: h", ": x"],
      [400, "GET / HTTP/1.1"],
      [400, "GET / HTTP/1.1", "Host: a", "Host: b"],
      [413, "POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"],
      [413, "POST / HTTP/1.1", "Host: h", "Content-Length: 0", "Content-Length: 1"],
      [413, "POST / HTTP/1.1", "Host: h", "Content-Length: -0"],
      [505, "GET / HTTP/1.0", "Host: h"],
      [431, "GET / HTTP/1.1", "Host: h", ...new Array<string>(64).fill("A: b")],
    ] as const
  ) {
    assert.throws(
      () => parse(...lines),
      (error) => error instanceof RefusedRequest && error.refusal.status === status,
      lines.join("|"),
    );
  }
});

Deno.test("readHead finds the end of a head wherever it is cut, and gives back what is behind it", async () => {
  const whole = new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: h\r\n\r\nrest");
  for (let cut = 1; cut < whole.length; cut++) {
    const chunks: Uint8Array[] = [whole.slice(0, cut), whole.slice(cut)];
    const connection = {
      read: () => Promise.resolve(chunks.shift()),
      unread: (bytes: Uint8Array) => void (bytes.length > 0 && chunks.unshift(bytes)),
    };
    const head = await readHead(connection as unknown as Connection);
    assert.equal(head?.path, "/a", `cut at ${cut}`);
    const rest = chunks.map((chunk) => new TextDecoder().decode(chunk)).join("");
    assert.equal(rest, "rest", `cut at ${cut}`);
  }
});
