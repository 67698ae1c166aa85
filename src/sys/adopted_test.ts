import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { adoptStream, adoptTcp, descriptorOf } from "./adopted.ts";
import { AF_UNIX, IN_CREATE, SOCK_SEQPACKET, SOCK_STREAM } from "./constants.ts";
import { decodeInotify } from "./file_watcher.ts";
import type { Fd } from "./kernel.ts";
import { createLinuxKernel } from "./linux.ts";
import { Listener } from "./listener.ts";
import { listenTcp } from "./tcp_listening.ts";

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

Deno.test("an adopted TCP socket knows its peer, and answers after the peer's end", async () => {
  const { socket: listening, port } = listenTcp(kernel, {
    address: "127.0.0.1",
    port: 0,
    keepAlive: { idleSeconds: 15, intervalSeconds: 5, probes: 3 },
  });
  const accepted = Promise.withResolvers<Fd>();
  using _listener = new Listener({
    kernel,
    socket: listening,
    onConnection: accepted.resolve,
    onTrouble: accepted.reject,
  });
  const client = connect(port, "127.0.0.1");
  await once(client, "connect");
  const { localPort } = client;
  client.end("all of it");
  const socket = adoptTcp(await accepted.promise);
  assert.equal(socket.remoteAddress, "127.0.0.1");
  assert.equal(socket.remotePort, localPort);
  const ended = once(socket, "end");
  const closed = once(socket, "close");
  assert.equal(await next(socket), "all of it");
  await ended;
  socket.end("answer");
  assert.equal(await next(client), "answer");
  await closed;
});
