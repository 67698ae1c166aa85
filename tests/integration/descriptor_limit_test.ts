import assert from "node:assert/strict";
import { TestClient } from "../../src/cri/_test_server.ts";

/** More than a server and its modules need, and fewer than {@link CLIENTS}. */
const DESCRIPTORS = 128;
const CLIENTS = 200;

/** A server that may have so many descriptors, and what it says. */
class LimitedServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #text: ReadableStreamDefaultReader<string>;
  #said = "";

  constructor(what: "socket" | "streams") {
    this.#child = new Deno.Command("prlimit", {
      args: [
        `--nofile=${DESCRIPTORS}`,
        ...[Deno.execPath(), "run", "-A", "--no-check"],
        new URL("./descriptor_limit_child.ts", import.meta.url).pathname,
        what,
      ],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#text = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next of its lines. */
  async line(): Promise<string> {
    while (!this.#said.includes("\n")) {
      const { value, done } = await this.#text.read();
      if (done) throw new Error(`The server ended; it said ${JSON.stringify(this.#said)}`);
      this.#said += value;
    }
    const [line = "", ...rest] = this.#said.split("\n");
    this.#said = rest.join("\n");
    return line;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    while (!(await this.#text.read()).done);
    await this.#child.status;
  }
}

Deno.test("the socket serves again after descriptors have run out", async () => {
  await using server = new LimitedServer("socket");
  const path = await server.line();
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => Deno.connect({ transport: "unix", path })),
  );
  assert.match(await server.line(), /have to wait/);
  for (const client of clients) client.close();
  using client = new TestClient(path);
  assert.equal((await client.call("version", {})).runtimeName, "sauropod");
});

Deno.test("streams are served again after descriptors have run out", async () => {
  await using server = new LimitedServer("streams");
  const url = await server.line();
  const { hostname, port } = new URL(url);
  const connect = () => Deno.connect({ hostname, port: Number(port) });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, connect));
  assert.match(await server.line(), /have to wait/);
  for (const client of clients) client.close();
  const answer = await fetch(`${url}/exec/unknown`);
  assert.equal(answer.status, 404);
  await answer.body?.cancel();
});
