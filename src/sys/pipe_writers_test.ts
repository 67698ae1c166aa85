import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { adoptStream } from "./adopted.ts";
import { createLinuxKernel } from "./linux.ts";
import { PipeWriters } from "./pipe_writers.ts";

const kernel = createLinuxKernel();

Deno.test("a pipe's writer waits for its reader and loses nothing", async () => {
  using writers = new PipeWriters(kernel);
  const { read, write } = kernel.pipe2(0);
  using writer = writers.open(write);
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  assert.equal(await writer.write(bytes), true);
  let later = false;
  const second = writer.write(bytes).then((written) => {
    later = true;
    return written;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(later, false);
  const chunks: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of adoptStream(read)) chunks.push(chunk);
  })();
  assert.equal(await second, true);
  assert.equal(await writer.write(new Uint8Array([1, 2, 3])), true);
  writer.close();
  await reading;
  assert.deepEqual(
    new Uint8Array(Buffer.concat(chunks)),
    new Uint8Array(Buffer.concat([bytes, bytes, new Uint8Array([1, 2, 3])])),
  );
  assert.equal(await writer.write(bytes), false);
});

Deno.test("a pipe's writer tells of a reader that is gone, also while it waits", async () => {
  using writers = new PipeWriters(kernel);
  for (const close of ["reader", "writer"]) {
    const { read, write } = kernel.pipe2(0);
    using writer = writers.open(write);
    const waiting = writer.write(new Uint8Array(200_000));
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (close === "reader") read.close();
    else writer.close();
    assert.equal(await waiting, false);
    read.close();
  }
});
