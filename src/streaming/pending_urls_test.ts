import assert from "node:assert/strict";
import { ResourceExhaustedError } from "../errors/mod.ts";
import { PENDING_URLS_LIMIT, URL_LIFE_MS } from "./limits.ts";
import { PendingUrls } from "./pending_urls.ts";

function pendingUrls() {
  const time = { nowMs: 0 };
  const clock = { nowNs: () => 0n, startAfter: () => {}, monotonicMs: () => time.nowMs };
  return { urls: new PendingUrls<string>(clock), time };
}

Deno.test("a token has 256 random bits, fits into a URL and is good once", () => {
  const { urls } = pendingUrls();
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
  const { urls, time } = pendingUrls();
  const [one, two] = [urls.add("one"), urls.add("two")];
  time.nowMs = URL_LIFE_MS - 1;
  assert.equal(urls.take(one), "one");
  time.nowMs = URL_LIFE_MS;
  assert.equal(urls.take(two), undefined);
});

Deno.test("so many URLs wait and no more, until one is used or expires", () => {
  const { urls, time } = pendingUrls();
  const first = urls.add("first");
  for (let count = 1; count < PENDING_URLS_LIMIT; count++) urls.add("more");
  assert.throws(() => urls.add("too many"), ResourceExhaustedError);
  urls.take(first);
  urls.add("again");
  assert.throws(() => urls.add("too many"), ResourceExhaustedError);
  time.nowMs = URL_LIFE_MS;
  urls.add("later");
});
