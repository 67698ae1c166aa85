import assert from "node:assert/strict";
import {
  CancelledError,
  InvalidArgumentError,
  NotFoundError,
  UnavailableError,
} from "../errors/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import {
  BusyRegistryError,
  ConnectionRefusedError,
  decideRetry,
  parseRetryAfter,
  withRetries,
} from "./retry.ts";
import { statusError } from "./status_error.ts";

const status = (code: number, retryAfter = "") =>
  statusError({ status: code, retryAfter, message: "x", authenticated: false });
const quick = {
  policy: { attempts: 3, firstDelayMs: 1, maxDelayMs: 50 },
  log: silentLogger,
  what: "x",
};

Deno.test("decideRetry() tries again only what may pass", () => {
  for (
    const error of [new UnavailableError("x"), status(500), status(503), status(429), status(408)]
  ) {
    assert(decideRetry(error, 1).again, String(error));
  }
  const final = [
    new NotFoundError("x"),
    new InvalidArgumentError("x"),
    new CancelledError("x"),
    new Error("x"),
    status(401),
    status(403),
    status(404),
    status(400),
  ];
  for (const error of final) assert(!decideRetry(error, 1).again, String(error));
  assert(decideRetry(new ConnectionRefusedError("x"), 1).again);
  assert(!decideRetry(new ConnectionRefusedError("x"), 2).again);
  assert.deepEqual(decideRetry(status(429, "7"), 1), { again: true, afterMs: 7000 });
});

Deno.test("parseRetryAfter() reads seconds and dates", () => {
  const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
  assert.equal(parseRetryAfter("120", now), 120_000);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2026 07:28:30 GMT", now), 30_000);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2026 07:00:00 GMT", now), 0);
  for (const text of ["", "soon", "-"]) assert.equal(parseRetryAfter(text, now), undefined);
});

Deno.test("withRetries() stops at the first success, at its attempts, and at a long wait", async () => {
  const signal = new AbortController().signal;
  let calls = 0;
  const result = await withRetries({ ...quick, signal }, (attempt) => {
    calls++;
    return attempt < 3 ? Promise.reject(new UnavailableError("x")) : Promise.resolve("ok");
  });
  assert.equal(result, "ok");
  assert.equal(calls, 3);

  calls = 0;
  const fail = (error: Error) => () => {
    calls++;
    return Promise.reject(error);
  };
  await assert.rejects(
    withRetries({ ...quick, signal }, fail(new UnavailableError("x"))),
    UnavailableError,
  );
  assert.equal(calls, 3);

  calls = 0;
  await assert.rejects(withRetries({ ...quick, signal }, fail(new BusyRegistryError("x", 60_000))));
  assert.equal(calls, 1);
});

Deno.test("withRetries() waits no longer once its signal fires", async () => {
  const controller = new AbortController();
  const policy = { attempts: 3, firstDelayMs: 60_000, maxDelayMs: 60_000 };
  const waiting = withRetries(
    { ...quick, policy, signal: controller.signal },
    () => Promise.reject(new UnavailableError("x")),
  );
  controller.abort();
  await assert.rejects(waiting);
});
