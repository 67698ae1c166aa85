import assert from "node:assert/strict";
import {
  CancelledError,
  InternalError,
  NotFoundError,
  ResourceExhaustedError,
  SyscallError,
  UnavailableError,
} from "../errors/mod.ts";
import type { EchoOperations } from "./testdata/echo_worker.ts";
import { WorkerChannel, type WorkerOptions } from "./worker_channel.ts";
import { WorkerPool } from "./worker_pool.ts";

function options(more: Partial<WorkerOptions> = {}): WorkerOptions {
  return {
    url: new URL("./testdata/echo_worker.ts", import.meta.url),
    name: "echo worker",
    data: { root: "/r" },
    ...more,
  };
}

const channel = (more?: Partial<WorkerOptions>) => new WorkerChannel<EchoOperations>(options(more));

Deno.test("a channel answers calls and gives the worker its data", async () => {
  using echo = channel();
  await echo.start();
  const reply = await echo.call("echo", "hello");
  assert.deepEqual(reply, { text: "hello", data: { root: "/r" }, pid: 1 });
});

Deno.test("errors keep their class, details and causes on the way", async () => {
  using echo = channel();
  await assert.rejects(echo.call("fail", "domain"), (error: NotFoundError) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.details.field, "thing");
    assert.equal((error.cause as Error).message, "deeper");
    return true;
  });
  await assert.rejects(echo.call("fail", "syscall"), (error: SyscallError) => {
    assert.ok(error instanceof SyscallError);
    assert.equal(error.message, 'open "/x": ENOENT');
    assert.equal(error.code, "ENOENT");
    assert.equal(error.kind, "not_found");
    assert.equal(error.details.path, "/x");
    return true;
  });
  await assert.rejects(echo.call("fail", "plain"), InternalError);
});

for (const how of ["throw", "exit"] as const) {
  Deno.test(`a worker that dies (${how}) answers its calls Unavailable, the next call a new one`, async () => {
    using echo = channel();
    const held = echo.call("hold", null);
    const dying = echo.call("die", how);
    await assert.rejects(dying, UnavailableError);
    await assert.rejects(held, UnavailableError);
    assert.equal((await echo.call("echo", "again")).pid, 1);
  });
}

Deno.test("terminate() ends a worker's calls Unavailable, and the next call works", async () => {
  using echo = channel();
  const held = echo.call("hold", null);
  echo.terminate();
  await assert.rejects(held, UnavailableError);
  assert.equal((await echo.call("echo", "again")).text, "again");
});

Deno.test("a retired worker answers its call, and waiting calls go to its successor", async () => {
  using echo = channel({ maxInFlight: 1 });
  assert.equal((await echo.call("echo", "first")).pid, 1);
  const [retiring, next] = await Promise.all([
    echo.call("retire", null),
    echo.call("echo", "second"),
  ]);
  assert.equal(retiring, "retiring");
  assert.equal(next.pid, 1, "a new worker counts from one");
});

Deno.test("nothing more runs on a thread that retires", async () => {
  using echo = channel();
  const retiring = echo.call("retire", null);
  const posted = echo.call("echo", "posted already");
  assert.equal(await retiring, "retiring");
  await assert.rejects(posted, UnavailableError);
  assert.equal((await echo.call("echo", "next")).pid, 1);
});

Deno.test("a disposed channel refuses calls", async () => {
  const echo = channel();
  await echo.call("echo", "x");
  echo[Symbol.dispose]();
  await assert.rejects(echo.call("echo", "x"), UnavailableError);
});

Deno.test("a missing worker file is Unavailable, not a hang", async () => {
  using echo = channel({ url: new URL("./testdata/no_such_worker.ts", import.meta.url) });
  await assert.rejects(echo.call("echo", "x"), UnavailableError);
  await assert.rejects(echo.start(), UnavailableError);
});

Deno.test("cancelling reaches the handler; a waiting call is rejected at once", async () => {
  using echo = channel({ maxInFlight: 1 });
  const first = new AbortController();
  const second = new AbortController();
  const held = echo.call("hold", null, { signal: first.signal });
  const waiting = echo.call("echo", "x", { signal: second.signal });
  second.abort();
  await assert.rejects(waiting, CancelledError);
  first.abort();
  assert.equal(await held, "cancelled");
});

Deno.test("calls over the bound wait, and over the second bound are refused", async () => {
  using echo = channel({ maxInFlight: 1, maxWaiting: 1 });
  const stop = new AbortController();
  const held = echo.call("hold", null, { signal: stop.signal });
  const waiting = echo.call("echo", "x");
  await assert.rejects(echo.call("echo", "y"), ResourceExhaustedError);
  stop.abort();
  await held;
  assert.equal((await waiting).text, "x");
});

Deno.test("events arrive before the reply; buffers are moved both ways", async () => {
  using echo = channel();
  const seen: number[] = [];
  await echo.call("count", 3, { onEvent: (n) => seen.push(n) });
  assert.deepEqual(seen, [1, 2, 3]);
  const sent = new Uint8Array(1 << 20);
  const back = await echo.call("bytes", sent, { transfer: [sent.buffer] });
  assert.equal(sent.byteLength, 0, "moved away");
  assert.equal(back[0], 42);
});

Deno.test("a pool spreads calls over its workers and survives the death of one", async () => {
  using pool = new WorkerPool<EchoOperations>({ ...options(), size: 2 });
  await pool.start();
  const stop = new AbortController();
  const held = pool.call("hold", null, { signal: stop.signal });
  await assert.rejects(pool.call("die", "exit"), UnavailableError);
  assert.equal((await pool.call("echo", "x")).text, "x");
  stop.abort();
  assert.equal(await held, "cancelled");
});

Deno.test("a worker asks its caller while it works, and hears answers and failures", async () => {
  using echo = channel();
  const asked: string[] = [];
  const reply = await echo.call("ask", "Ann", {
    onAsk: (question) => {
      asked.push(question);
      return Promise.resolve(`answer ${asked.length}`);
    },
  });
  assert.equal(reply, "answer 1, answer 2");
  assert.deepEqual(asked, ["who is Ann", "and then"]);
  await assert.rejects(
    echo.call("ask", "Bob", {
      onAsk: () => {
        throw new NotFoundError("no Bob", { field: "name" });
      },
    }),
    (error: NotFoundError) => error instanceof NotFoundError && error.details.field === "name",
  );
  await assert.rejects(echo.call("ask", "Eve"), InternalError);
  // Each call hears its own answers.
  const both = ["a", "b"].map((name) =>
    echo.call("ask", name, { onAsk: (question) => `${name}:${question}` })
  );
  assert.deepEqual(await Promise.all(both), [
    "a:who is a, a:and then",
    "b:who is b, b:and then",
  ]);
});

Deno.test("a call that is cancelled while its worker asks ends", async () => {
  using echo = channel();
  const leaving = new AbortController();
  const never = Promise.withResolvers<string>();
  await assert.rejects(
    echo.call("ask", "Ann", {
      signal: leaving.signal,
      onAsk: () => {
        leaving.abort();
        return never.promise;
      },
    }),
    CancelledError,
  );
});
