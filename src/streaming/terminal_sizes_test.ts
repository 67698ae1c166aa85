import assert from "node:assert/strict";
import type { ByteSource, TerminalSize } from "../model/mod.ts";
import { terminalSizes } from "./terminal_sizes.ts";

async function* source(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(new TextEncoder().encode(text));
}

async function sizesOf(bytes: ByteSource): Promise<readonly TerminalSize[]> {
  const sizes: TerminalSize[] = [];
  for await (const size of terminalSizes(bytes)) sizes.push(size);
  return sizes;
}

Deno.test("sizes are read as Go writes and reads them, however they are cut", async () => {
  assert.deepEqual(await sizesOf(source('{"Width":80,"Hei', 'ght":24}\n')), [
    { columns: 80, rows: 24 },
  ]);
  assert.deepEqual(await sizesOf(source('{"height":1,"width":65535}')), [
    { columns: 65_535, rows: 1 },
  ]);
});

Deno.test("a slow taker gets the newest size, and none without extent", async () => {
  const texts = ['{"Width":1,"Height":1}', '{"Width":2,"Height":2}{"Width":0,"Height":2}'];
  const sizes = terminalSizes(source(...texts, '{"Width":3,"Height":3}'));
  assert.deepEqual((await sizes.next()).value, { columns: 1, rows: 1 });
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual((await sizes.next()).value, { columns: 3, rows: 3 });
  assert.equal((await sizes.next()).done, true);
});

Deno.test("what is no size ends the sizes, and not the session", async () => {
  for (
    const wrong of [
      '{"Width":65536,"Height":1}',
      '{"Width":-1,"Height":1}',
      '{"Width":1.5,"Height":1}',
      '{"Width":"80","Height":1}',
      "nonsense}",
      "[]}",
      "x".repeat(5_000),
    ]
  ) {
    assert.deepEqual(await sizesOf(source(wrong, '{"Width":9,"Height":9}')), [], wrong);
  }
});

Deno.test("a client that is lost ends the sizes", async () => {
  async function* lost(): AsyncGenerator<Uint8Array> {
    yield* source('{"Width":3,"Height":4}');
    throw new Error("gone");
  }
  assert.deepEqual(await sizesOf(lost()), [{ columns: 3, rows: 4 }]);
});
