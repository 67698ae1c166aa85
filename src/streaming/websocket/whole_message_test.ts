import assert from "node:assert/strict";
import { WHOLE_MESSAGE_LIMIT_BYTES } from "../limits.ts";
import { CloseCode } from "./frames.ts";
import { WholeMessage } from "./whole_message.ts";

const piece = (text: string, last = false) => ({ bytes: new TextEncoder().encode(text), last });
const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);

Deno.test("a message is whole with its last piece, and the next begins anew", () => {
  const message = new WholeMessage();
  assert.equal(text(message.add(piece("whole", true))), "whole");
  assert.equal(message.add(piece("")), undefined);
  assert.equal(message.add(piece("in ")), undefined);
  assert.equal(message.add(piece("x".repeat(5_000))), undefined);
  assert.equal(text(message.add(piece(" pieces", true))), `in ${"x".repeat(5_000)} pieces`);
  assert.equal(text(message.add(piece("", true))), "");
  assert.equal(message.add(piece("a")), undefined);
  assert.equal(text(message.add(piece("", true))), "a");
});

Deno.test("a message that is under way does not keep the chunks in which it came", async () => {
  const message = new WholeMessage();
  let freed = 0;
  const registry = new FinalizationRegistry(() => freed++);
  for (let count = 0; count < 64; count++) {
    const chunk = new Uint8Array(65_536);
    registry.register(chunk.buffer, undefined);
    message.add({ bytes: chunk.subarray(0, 1), last: false });
  }
  // The collector tells in a later turn of the event loop.
  const deadlineMs = performance.now() + 60_000;
  while (freed < 60 && performance.now() < deadlineMs) {
    void Array.from({ length: 64 }, () => new Uint8Array(65_536));
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert.ok(freed >= 60, `${freed} of 64 chunks were freed`);
  assert.equal(message.add({ bytes: new Uint8Array(1), last: true })?.length, 65);
});

Deno.test("a message may be as long as the limit and no longer, in whatever pieces", () => {
  const half = new Uint8Array(WHOLE_MESSAGE_LIMIT_BYTES / 2);
  const message = new WholeMessage();
  assert.equal(message.add({ bytes: half, last: false }), undefined);
  assert.equal(message.add({ bytes: half, last: false }), undefined);
  assert.throws(
    () => message.add({ bytes: Uint8Array.of(1), last: true }),
    { code: CloseCode.messageTooBig, message: /more than 1048576 bytes/ },
  );
  assert.throws(() =>
    new WholeMessage().add({ bytes: new Uint8Array(half.length * 2 + 1), last: true })
  );
});
