import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type ByteDescriptor, ByteDescriptors } from "./byte_descriptors.ts";
import { AF_INET, AF_UNIX, SOCK_STREAM } from "./constants.ts";
import { createLinuxKernel } from "./linux.ts";

const kernel = createLinuxKernel();

/** How readiness reaches the event loop: the kernel may refuse the first. */
type Method = "aio" | "thread";

function test(name: string, body: (method: Method) => Promise<void>): void {
  for (const method of ["aio", "thread"] as const) {
    Deno.test(`${name} (${method})`, () => body(method));
  }
}

async function all(descriptor: ByteDescriptor): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await descriptor.read(); chunk !== undefined; chunk = await descriptor.read()) {
    chunks.push(chunk.slice());
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Long enough for what is to happen by mistake only. */
function aMoment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

test("a pipe's writer waits for its reader and loses nothing", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const pipe = kernel.pipe2(0);
  using writer = descriptors.open(pipe.write);
  using reader = descriptors.open(pipe.read);
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  assert.equal(await writer.write(bytes), true);
  let later = false;
  const second = writer.write(bytes.subarray(0, 1000), new Uint8Array(0), bytes).then((written) => {
    later = true;
    return written;
  });
  await aMoment();
  assert.equal(later, false);
  const reading = all(reader);
  assert.equal(await second, true);
  assert.equal(await writer.write(new Uint8Array([1, 2, 3])), true);
  writer.close();
  assert.deepEqual(
    await reading,
    new Uint8Array(Buffer.concat([bytes, bytes.subarray(0, 1000), bytes, Buffer.from([1, 2, 3])])),
  );
  assert.equal(await writer.write(bytes), false);
  assert.equal(await reader.read(), undefined);
});

test("a pipe's writer tells of a reader that is gone, also while it waits", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  for (const close of ["reader", "writer"]) {
    const { read, write } = kernel.pipe2(0);
    using writer = descriptors.open(write);
    const waiting = writer.write(new Uint8Array(200_000));
    await aMoment();
    if (close === "reader") read.close();
    else writer.close();
    assert.equal(await waiting, false);
    read.close();
  }
});

test("a reader waits for what comes, and its close ends the wait", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const { read, write } = kernel.pipe2(0);
  using reader = descriptors.open(read);
  const first = reader.read();
  await aMoment();
  kernel.write(write.number, new TextEncoder().encode("late"));
  assert.deepEqual(await first, new TextEncoder().encode("late"));
  assert.equal(reader.unread(), 0);
  kernel.write(write.number, new Uint8Array(7));
  assert.equal(reader.unread(), 7);
  assert.equal((await reader.read())?.length, 7);
  const second = reader.read();
  await aMoment();
  reader.close();
  reader.close();
  assert.equal(await second, undefined);
  write.close();
});

test("what was read stays until the next read, and for as long as it is kept", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const { read, write } = kernel.pipe2(0);
  using reader = descriptors.open(read);
  const next = async (text: string) => {
    kernel.write(write.number, new TextEncoder().encode(text));
    return (await reader.read())!;
  };
  const first = await next("first");
  reader.keep();
  const second = await next("second");
  assert.deepEqual(first, new TextEncoder().encode("first"));
  const third = await next("third!");
  assert.equal(second.buffer, third.buffer);
  assert.deepEqual(second, third);
  // However much comes, it is read in as few pieces as a pipe holds.
  kernel.write(write.number, new Uint8Array(60_000));
  let largest = 0;
  for (let left = 60_000; left > 0;) {
    const { length } = (await reader.read())!;
    left -= length;
    largest = Math.max(largest, length);
  }
  assert.ok(largest > 32_768, `${largest} bytes at most`);
  write.close();
});

test("a socket passes both ways at once, and its halves end one by one", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const { a, b } = kernel.socketpair(AF_UNIX, SOCK_STREAM);
  using left = descriptors.open(a);
  using right = descriptors.open(b);
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const many = Array(30).fill(bytes);
  const sent = Buffer.concat(many);
  const send = async (descriptor: ByteDescriptor) => {
    for (const each of many) assert.equal(await descriptor.write(each), true);
    descriptor.endWriting();
  };
  const [, , fromRight, fromLeft] = await Promise.all([
    send(left),
    send(right),
    all(left),
    all(right),
  ]);
  assert.ok(sent.equals(fromRight) && sent.equals(fromLeft));
  assert.equal(await left.write(bytes), false, "its half is ended");
});

test("a connection that is reset says so", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fd = kernel.socket(AF_INET, SOCK_STREAM, 0);
  kernel.connectTcp(fd.number, "127.0.0.1", (server.address() as { port: number }).port);
  using client = descriptors.open(fd);
  const reading = client.read();
  (await accepted.promise).resetAndDestroy();
  await assert.rejects(reading, { code: "ECONNRESET" });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test("passing much lets others have their turn", async (method) => {
  using descriptors = new ByteDescriptors(kernel, { method });
  const pipe = kernel.pipe2(0);
  using writer = descriptors.open(pipe.write);
  using reader = descriptors.open(pipe.read);
  let turns = 0;
  const ticking = setInterval(() => turns++, 0);
  const chunk = new Uint8Array(32_768);
  // Neither ever waits for the other.
  for (let passed = 0; turns === 0; passed++) {
    assert.ok(passed < 100_000, "nobody else had a turn");
    await writer.write(chunk);
    await reader.read();
  }
  clearInterval(ticking);
});

test("nothing keeps a descriptor that was read to its end and closed", async (method) => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  using descriptors = new ByteDescriptors(kernel, { method });
  const once = async (): Promise<WeakRef<ByteDescriptor>> => {
    const pipe = kernel.pipe2(0);
    using reader = descriptors.open(pipe.read);
    const reading = all(reader);
    await aMoment();
    pipe.write.close();
    await reading;
    return new WeakRef(reader);
  };
  const closed = await Promise.all(Array.from({ length: 20 }, once));
  // What was looked at in a turn is kept to its end.
  await aMoment();
  collect();
  assert.deepEqual(closed.filter((each) => each.deref() !== undefined), []);
});
