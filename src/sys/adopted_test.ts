import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { adoptStream, descriptorOf, takeDescriptor } from "./adopted.ts";
import { ByteDescriptors } from "./byte_descriptors.ts";
import { AF_UNIX, IN_CREATE, SOCK_SEQPACKET, SOCK_STREAM } from "./constants.ts";
import { decodeInotify } from "./file_watcher.ts";
import type { Fd } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";

const kernel = createLinuxKernel();
const encoded = (value: string) => new TextEncoder().encode(value);

async function next(socket: Socket): Promise<string> {
  const [chunk] = await once(socket, "data");
  return new TextDecoder().decode(chunk as Uint8Array);
}

Deno.test("an adopted pipe is read, ends, and owns its descriptor", async () => {
  const { read, write } = kernel.pipe2(0);
  const socket = adoptStream(read);
  assert.equal(read.closed, true);
  assert.equal(descriptorOf(socket), read.number);
  kernel.write(write.number, encoded("hello"));
  assert.equal(await next(socket), "hello");
  write.close();
  socket.resume();
  await once(socket, "close");
  assert.equal(descriptorOf(socket), undefined);
});

Deno.test("a reader that is destroyed right after its end is forgotten", async () => {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--v8-flags=--expose-gc",
      `${import.meta.dirname}/testdata/forgotten_readers.ts`,
    ],
  }).output();
  const text = new TextDecoder();
  assert.equal(text.decode(stdout), "forgotten\n", text.decode(stderr));
});

Deno.test("an adopted SEQPACKET socket keeps packet boundaries both ways", async () => {
  const { a, b } = kernel.socketpair(AF_UNIX, SOCK_SEQPACKET);
  using peer = b;
  const socket = adoptStream(a);
  const packets: string[] = [];
  const three = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Uint8Array) => {
      if (packets.push(new TextDecoder().decode(chunk)) === 3) resolve();
    });
  });
  for (const packet of ["one", "two", "three"]) kernel.write(peer.number, encoded(packet));
  await three;
  assert.deepEqual(packets, ["one", "two", "three"]);
  // One write at a time: Node joins what is queued.
  for (const packet of ["x", "yy"]) {
    await new Promise<void>((resolve) => void socket.write(packet, () => resolve()));
  }
  const buffer = new Uint8Array(64);
  assert.equal(kernel.read(peer.number, buffer), 1);
  assert.equal(kernel.read(peer.number, buffer), 2);
  socket.destroy();
  await once(socket, "close");
});

Deno.test("an adopted stream socketpair carries data both ways and tells of the end", async () => {
  const { a, b } = kernel.socketpair(AF_UNIX, SOCK_STREAM);
  const [left, right] = [adoptStream(a), adoptStream(b)];
  left.write("ping");
  assert.equal(await next(right), "ping");
  right.write("pong");
  assert.equal(await next(left), "pong");
  left.resume();
  right.destroy();
  await once(left, "close");
});

Deno.test("an adopted inotify descriptor delivers events", async () => {
  const root = await Deno.makeTempDir();
  const inotify = kernel.inotifyInit();
  kernel.inotifyAddWatch(inotify.number, root, IN_CREATE);
  const socket = adoptStream(inotify);
  const data = once(socket, "data");
  await Deno.writeTextFile(`${root}/file`, "");
  const [chunk] = await data;
  assert.deepEqual([...decodeInotify(chunk as Uint8Array)].map((event) => event.name), ["file"]);
  socket.destroy();
  await once(socket, "close");
  await Deno.remove(root, { recursive: true });
});

Deno.test("an adopted eventfd delivers its counter", async () => {
  const counter = kernel.eventfd(0);
  const { number } = counter;
  const socket = adoptStream(counter);
  const data = once(socket, "data");
  kernel.write(number, new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0]));
  const [chunk] = await data;
  assert.equal((chunk as Uint8Array)[0], 5);
  socket.destroy();
  await once(socket, "close");
});

Deno.test("a TCP socket that a server took lives on as a descriptor, with all that has come", async () => {
  const taken = Promise.withResolvers<Fd>();
  const server = createServer(
    { pauseOnConnect: true, allowHalfOpen: true },
    (socket) => taken.resolve(takeDescriptor(socket, kernel)!),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  client.end("all of it");
  using descriptors = new ByteDescriptors(kernel);
  const fd = await taken.promise;
  using descriptor = descriptors.open(fd);
  // A client that Node still held would be closed by now.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await descriptor.read(), new TextEncoder().encode("all of it"));
  assert.equal(await descriptor.read(), undefined);
  assert.equal(await descriptor.write(new TextEncoder().encode("answer")), true);
  assert.equal(await next(client), "answer");
  const own = Deno.readLinkSync(`/proc/self/fd/${fd.number}`);
  const sockets = [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === own;
    } catch {
      return false; // the descriptor of the directory itself
    }
  });
  assert.equal(sockets.length, 1, "Node has closed its own");
  client.destroy();
  server.close();
  await once(server, "close");
});
