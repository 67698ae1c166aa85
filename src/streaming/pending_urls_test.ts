import assert from "node:assert/strict";
import { ResourceExhaustedError, UnavailableError } from "../errors/mod.ts";
import { SystemClock } from "../model/mod.ts";
import { PENDING_ARGUMENTS_BYTES, PENDING_URLS_LIMIT, URL_LIFE_MS } from "./limits.ts";
import { argumentBytes, PendingUrls } from "./pending_urls.ts";

function pendingUrls() {
  const time = { nowMs: 0 };
  const clock = { nowNs: () => 0n, startAfter: () => {}, monotonicMs: () => time.nowMs };
  const urls = new PendingUrls<string>(clock);
  return { urls, time, [Symbol.dispose]: () => urls[Symbol.dispose]() };
}

Deno.test("a token has 256 random bits, fits into a URL and is good once", () => {
  using pending = pendingUrls();
  const { urls } = pending;
  const [one, two] = [urls.add("one"), urls.add("two")];
  assert.match(one, /^[A-Za-z0-9_-]{43}$/);
  assert.notEqual(one, two);
  assert.equal(urls.take(two), "two");
  assert.equal(urls.take(one), "one");
  assert.equal(urls.take(one), undefined);
  assert.equal(urls.take(""), undefined);
  assert.equal(urls.take("__proto__"), undefined);
});

Deno.test("a token expires after half a minute", () => {
  using pending = pendingUrls();
  const { urls, time } = pending;
  const [one, two] = [urls.add("one"), urls.add("two")];
  time.nowMs = URL_LIFE_MS - 1;
  assert.equal(urls.take(one), "one");
  time.nowMs = URL_LIFE_MS;
  assert.equal(urls.take(two), undefined);
});

Deno.test("so many URLs wait and no more, until one is used or expires", () => {
  using pending = pendingUrls();
  const { urls, time } = pending;
  const first = urls.add("first");
  for (let count = 1; count < PENDING_URLS_LIMIT; count++) urls.add("more");
  assert.throws(() => urls.add("too many"), ResourceExhaustedError);
  urls.take(first);
  urls.add("again");
  assert.throws(() => urls.add("too many"), ResourceExhaustedError);
  time.nowMs = URL_LIFE_MS;
  urls.add("later");
});

Deno.test("command lines of so many bytes wait and no more, until one is used or expires", () => {
  using pending = pendingUrls();
  const { urls, time } = pending;
  const half = PENDING_ARGUMENTS_BYTES / 2;
  const [first] = [urls.add("first", half), urls.add("second", half)];
  assert.throws(() => urls.add("too much", 1), (error: ResourceExhaustedError) => {
    assert.ok(error instanceof ResourceExhaustedError);
    assert.match(
      error.message,
      /^cmd takes 1 bytes, and 2 .* hold 16777216: more than the 16777216 that the limit "arguments of/,
    );
    assert.equal(error.details.field, "cmd");
    assert.equal(error.details.value, "1");
    assert.equal(error.details.remedy, "use them, or wait 30 s until they expire");
    return true;
  });
  urls.add("a session that holds no command line");
  urls.take(first);
  urls.add("again", half);
  assert.throws(() => urls.add("too much", 1), ResourceExhaustedError);
  time.nowMs = URL_LIFE_MS;
  urls.add("later", PENDING_ARGUMENTS_BYTES);
});

Deno.test("an argument counts as what it takes in memory, also if it is empty", () => {
  assert.equal(argumentBytes(["cat", "", "x".repeat(1_000)]), 1_003 + 3 * 32);
});

Deno.test("a URL that expires is forgotten although nobody asks for anything any more", async () => {
  using urls = new PendingUrls<string>(new SystemClock(), 20);
  const allForgotten = async () => {
    for (let tries = 0; urls.size > 0; tries++) {
      assert.ok(tries < 1_000, `${urls.size} are left`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  urls.add("one");
  await new Promise((resolve) => setTimeout(resolve, 5));
  urls.add("two");
  await allForgotten();
  // And what comes after a pause as well.
  urls.add("three");
  await allForgotten();
});

Deno.test("what is disposed holds nothing and gives out nothing", () => {
  const { urls } = pendingUrls();
  const token = urls.add("one");
  urls[Symbol.dispose]();
  assert.equal(urls.size, 0);
  assert.equal(urls.take(token), undefined);
  assert.throws(() => urls.add("two"), UnavailableError);
});
