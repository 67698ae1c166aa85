import assert from "node:assert/strict";
import { addressText, ConnectionError, failureText, HttpTransport } from "./http_transport.ts";

const SECRET = "hunter2";
const never = () => new AbortController().signal;

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Accepts connections and answers each with these bytes. */
function answering(bytes: string): Deno.TcpListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode(bytes)).catch(() => {});
      connection.close();
    }
  })();
  return listener;
}

/** All that a message or the log could show of an error. */
function everything(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.message} ${error.stack} ${JSON.stringify(error)} ${
    error.cause === undefined ? "" : everything(error.cause)
  }`;
}

Deno.test("HttpTransport.request() fails without showing the URL, by fetch and unverified", async () => {
  using garbage = answering("no http\r\n\r\n");
  using closing = answering("");
  const dead = freePort();
  for (const verify of [true, false]) {
    using transport = new HttpTransport({ caCerts: [], verify });
    for (
      const [base, why] of [
        [`http://127.0.0.1:${dead}`, /refused/i],
        [`https://127.0.0.1:${dead}`, /refused/i],
        [`http://127.0.0.1:${garbage.addr.port}`, /HTTP/i],
        [`http://127.0.0.1:${closing.addr.port}`, /closed/],
        [`https://127.0.0.1:${garbage.addr.port}`, /./],
      ] as const
    ) {
      const url = new URL(`${base}/${SECRET}/)b (c)?sig=${SECRET}) ${SECRET}`);
      url.username = SECRET;
      await assert.rejects(
        () => transport.request(url, { headers: {}, signal: never() }),
        (error: unknown) => {
          assert(error instanceof ConnectionError, String(error));
          assert.match(error.message, why);
          assert.doesNotMatch(everything(error), new RegExp(SECRET));
          return true;
        },
        base,
      );
    }
  }
});

Deno.test("HttpTransport.request() shows no header that it cannot send", async () => {
  for (const verify of [true, false]) {
    using transport = new HttpTransport({ caCerts: [], verify });
    const headers = { authorization: `Bearer ${SECRET}\n${SECRET}` };
    await assert.rejects(
      () => transport.request(new URL("https://127.0.0.1:1/"), { headers, signal: never() }),
      (error) => !everything(error).includes(SECRET),
    );
  }
});

Deno.test("HttpTransport.request() passes on why its signal fired", async () => {
  const reason = new Error("enough");
  for (const verify of [true, false]) {
    using transport = new HttpTransport({ caCerts: [], verify });
    await assert.rejects(
      () =>
        transport.request(new URL("https://127.0.0.1:1/"), {
          headers: {},
          signal: AbortSignal.abort(reason),
        }),
      (error) => error === reason,
    );
  }
});

Deno.test("failureText() says what a broken body says, and of an address no more than the host", async () => {
  using cutting = answering(`HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc`);
  using transport = new HttpTransport({ caCerts: [], verify: true });
  const url = new URL(`http://127.0.0.1:${cutting.addr.port}/?sig=${SECRET}`);
  const response = await transport.request(url, { headers: {}, signal: never() });
  await assert.rejects(() => response.arrayBuffer(), (error) => {
    assert.match(failureText(error), /body/);
    assert.doesNotMatch(failureText(error), new RegExp(SECRET));
    return true;
  });
  assert.equal(
    failureText(new Error(`gave up on https://u:${SECRET}@cdn.io:8443/a?b=${SECRET} at last`)),
    "gave up on cdn.io:8443 at last",
  );
});

Deno.test("addressText() leaves out query, fragment and user", () => {
  assert.equal(addressText(`ftp://u:${SECRET}@a.io/b?sig=${SECRET}\n${SECRET}`), "ftp://a.io/b");
  assert.equal(addressText(`/relative?sig=${SECRET}`), "/relative");
  assert.equal(addressText(""), "");
});
