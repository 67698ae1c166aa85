import assert from "node:assert/strict";
import { Loans } from "./loans.ts";
import { Pieces } from "./pieces.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

function piecesOf(keep: () => void = () => {}) {
  const loans = new Loans(keep);
  const pieces = new Pieces(loans, () => {});
  return { loans, pieces, reader: pieces.source[Symbol.asyncIterator]() };
}

Deno.test("a reader that waits gets a view, and one that does not a copy", async () => {
  const { pieces, reader } = piecesOf();
  const waiting = reader.next();
  const memory = bytes("seen");
  pieces.receive(memory);
  assert.equal((await waiting).value?.buffer, memory.buffer);
  assert.equal(pieces.heldBytes, 0);
  const next = bytes("held");
  pieces.receive(next);
  assert.ok(pieces.heldBytes > next.length);
  next.fill(0);
  assert.equal(text((await reader.next()).value), "held");
  assert.equal(pieces.heldBytes, 0);
});

Deno.test("a piece that is small beside its chunk is copied even for a reader that waits", async () => {
  const { loans, pieces, reader } = piecesOf();
  const waiting = reader.next();
  pieces.receive(new Uint8Array(64 * 1024).subarray(0, 8 * 1024 - 1));
  assert.equal((await waiting).value?.buffer.byteLength, 8 * 1024 - 1);
  assert.equal(pieces.heldBytes, 0);
  // It takes up its reader as any other does, which is worth waiting for.
  assert.equal(pieces.worthWaiting, true);
  const settled = loans.waited();
  const next = reader.next();
  await settled;
  pieces.receive(bytes("more"));
  assert.equal(pieces.heldBytes, 0);
  assert.equal(text((await next).value), "more");
});

Deno.test("memory is used again once every view of it has come back", async () => {
  let kept = 0;
  const { loans, pieces, reader } = piecesOf(() => kept++);
  for (const said of ["one", "two", "three"]) {
    const waiting = reader.next();
    const memory = bytes(said);
    pieces.receive(memory);
    await waiting;
    const settled = loans.settled();
    const next = reader.next();
    await settled;
    assert.equal(kept, 0);
    pieces.receive(bytes("between"));
    await next;
  }
});

Deno.test("a reader that does not ask for more keeps its memory, and nobody waits for it twice", async () => {
  let kept = 0;
  const { loans, pieces, reader } = piecesOf(() => kept++);
  const waiting = reader.next();
  pieces.receive(bytes("slow"));
  const { value } = await waiting;
  await loans.settled();
  assert.equal(kept, 1);
  await loans.settled();
  assert.equal(kept, 1, "the memory is the reader's now");
  // Its coming back does not count among the loans of other memory.
  const other = new Pieces(loans, () => {});
  const others = other.source[Symbol.asyncIterator]();
  const theirs = others.next();
  other.receive(bytes("other"));
  await theirs;
  void reader.next();
  await loans.settled();
  assert.equal(kept, 2);
  assert.equal(text(value), "slow");
});

Deno.test("what is held is dropped when the sender is lost, also behind its end", async () => {
  const { pieces, reader } = piecesOf();
  pieces.receive(bytes("lost"));
  pieces.end();
  pieces.fail(new Error("reset"));
  assert.equal(pieces.heldBytes, 0);
  await assert.rejects(reader.next(), /reset/);
});

Deno.test("an end that comes next is no error, whatever happens behind it", async () => {
  const { pieces, reader } = piecesOf();
  pieces.end();
  pieces.fail(new Error("reset"));
  assert.equal((await reader.next()).done, true);
});
