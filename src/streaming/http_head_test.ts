import assert from "node:assert/strict";
import { hasWord, listHeader, parseHead, RefusedRequest } from "./http_head.ts";

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
