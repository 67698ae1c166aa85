import assert from "node:assert/strict";
import { converse, message } from "../support/stream_client.ts";
import { closedByServer } from "../support/tcp_state.ts";
import { podConfig, removePod } from "../support/pods.ts";
import { unless } from "../support/skipping.ts";
import { type RunningServer, TestNode } from "../support/test_node.ts";
import { onWorkbench, refused } from "../support/workbench.ts";

const test = onWorkbench();

/** Of a host that there is only for a test. */
const HOST_ADDRESS = "192.0.2.7";

const V5 = "v5.channel.k8s.io";
const SUCCESS = '{"status":"Success"}';
const STREAMS = { stdin: true, stdout: true, stderr: true };

test("Exec runs a command with the client's streams, to its exit code", async (bench) => {
  const container = await bench.pod();
  const { url } = await bench.runtime.exec({
    containerId: container.id.slice(0, 13),
    cmd: ["/bin/sh", "-c", "cat; echo err >&2; exit 42"],
    ...STREAMS,
  });
  const { channels, code } = await converse(url, V5, (socket) => {
    socket.send(message(0, "a\0\xffb\r\n"));
    socket.send(Uint8Array.of(255, 0));
  });
  assert.equal(channels.get(1), "a\0\xc3\xbfb\r\n");
  assert.equal(channels.get(2), "err\n");
  assert.match(channels.get(3) ?? "", /"causes":\[\{"reason":"ExitCode","message":"42"\}\]/);
  assert.equal(code, 1000);
});

test("Exec with a terminal has the client's size", async (bench) => {
  const container = await bench.pod();
  const { url } = await bench.runtime.exec({
    containerId: container.id,
    cmd: [
      "/bin/sh",
      "-c",
      'until [ "$(stty size)" = "43 132" ]; do sleep 0.05; done; read line; echo got $line',
    ],
    tty: true,
    stdin: true,
    stdout: true,
  });
  const { channels } = await converse(url, V5, (socket) => {
    socket.send(message(4, '{"Width":132,"Height":43}'));
    socket.send(message(0, "typed\n"));
  });
  assert.match(channels.get(1) ?? "", /got typed\r\n/);
  assert.equal(channels.get(3), SUCCESS);
});

test("Attach hears the container, and leaving it changes nothing", async (bench) => {
  const container = await bench.pod({
    script: "read line; echo got $line; sleep 1000",
    container: { stdin: true },
  });
  const { url } = await bench.runtime.attach({ containerId: container.id, ...STREAMS });
  const { channels } = await converse(url, V5, (socket) => {
    socket.addEventListener("message", ({ data }) => {
      if (new TextDecoder().decode(data as ArrayBuffer).includes("got hello")) socket.close();
    });
    socket.send(message(0, "hello\n"));
  });
  assert.equal(channels.get(1), "got hello\n");
  assert.equal(await container.sh("echo alive"), "alive");
});

test("an attached client that takes nothing loses its connection, and the container goes on", async (bench) => {
  const container = await bench.pod({
    // More than may wait for a client, and the kernel keeps for both sides.
    script: "read line; head -c 33554432 /dev/zero; sleep 1000",
    container: { stdin: true },
  });
  const { url } = await bench.runtime.attach({ containerId: container.id, ...STREAMS });
  const { hostname, port, host, pathname } = new URL(url);
  using client = await Deno.connect({ hostname, port: Number(port) });
  const head = [
    `GET ${pathname} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Sec-WebSocket-Protocol: ${V5}`,
  ].join("\r\n");
  await client.write(new TextEncoder().encode(`${head}\r\n\r\n`));
  const answer = new Uint8Array(12);
  await client.read(answer);
  assert.equal(new TextDecoder().decode(answer), "HTTP/1.1 101");
  const line = message(0, "go\n");
  await client.write(Uint8Array.of(0x82, 0x80 | line.length, 0, 0, 0, 0, ...line));
  await closedByServer({
    from: Number(port),
    to: (client.localAddr as Deno.NetAddr).port,
  });
  assert.equal(await container.sh("echo alive"), "alive");
});

test("a URL is not given for what does not run, and is void after a restart", async (bench) => {
  const container = await bench.pod();
  const request = { containerId: container.id, cmd: ["/bin/true"], stdout: true };
  const { url } = await bench.runtime.exec(request);
  await bench.restart("kill");
  await assert.rejects(converse(url, V5));
  const again = await bench.runtime.exec(request);
  assert.equal((await converse(again.url, V5)).channels.get(3), SUCCESS);
  await bench.runtime.stopContainer({ containerId: container.id, timeout: 0n });
  await refused(bench.runtime.exec(request), "FAILED_PRECONDITION", /exited/);
});

for (const configured of ["", "node.example"]) {
  Deno.test({
    ...unless(
      Deno.uid() === 0 ? undefined : "needs root",
      `with a stream_address of "${configured}" URLs have the host's own, where they are served`,
    ),
    async fn() {
      await using node = await TestNode.make();
      const text = await Deno.readTextFile(node.configPath);
      await Deno.writeTextFile(
        node.configPath,
        text.replace("[sauropod.api]", `[sauropod.api]\nstream_address = "${configured}"`),
      );
      const server = await node.start({ hostAddress: HOST_ADDRESS });
      const { runtime } = server.client;
      const config = podConfig(node, { name: "pod", hostNetwork: true });
      const { podSandboxId } = await runtime.runPodSandbox({ config });
      const { url } = await runtime.portForward({ podSandboxId, port: [80] });
      assert.equal(new URL(url).hostname, HOST_ADDRESS);
      // Nobody asked for a stream, and that is the answer.
      assert.match(await askedThere(server, url), /HTTP\/1\.1 400 /);
      await removePod(server.client, podSandboxId);
      assert.deepEqual(await node.residue(), []);
    },
  });
}

/** What busybox's client says of a plain request from the server's own host. */
async function askedThere({ pid }: RunningServer, url: string): Promise<string> {
  const { stderr } = await new Deno.Command("nsenter", {
    args: [`--net=/proc/${pid}/ns/net`, "/bin/busybox", "wget", "-S", "-O", "-", url],
  }).output();
  return new TextDecoder().decode(stderr);
}
