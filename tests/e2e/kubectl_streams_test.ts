/**
 * The libraries below `kubectl exec`, `attach` and `port-forward`, in a Go program, against the server as
 * a process.
 *
 * @module
 */
import assert from "node:assert/strict";
import { startRegistry } from "../integration/registry.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { ContainerConfig } from "../../src/proto/mod.ts";
import type { CriClient } from "../support/cri_client.ts";
import { Certificates } from "../support/certificates.ts";
import { belongings, isWithin } from "../support/belongings.ts";
import { buildGoClient, lackingForGo, runGoClient, tail } from "../support/go_client.ts";
import { containerConfig, podConfig, removePod } from "../support/pods.ts";
import { unless } from "../support/skipping.ts";
import { TestNode } from "../support/test_node.ts";

const PORT = 8080;
/** Says each line that it is given on both of its outputs. */
const PARROT = 'while read -r line; do echo "out $line"; echo "err $line" >&2; done';
/** Says each line with the size of its terminal. */
const TERMINAL = 'while read -r line; do echo "said $line at $(busybox stty size)"; done';
const FLOOD = 200;
/** More than lies between two ends of a connection. */
const BYTES_OVER_TLS = 8 << 20;
/** Of each kind by each protocol: together more than sessions there may be, so that none keeps its place. */
const FAILURES = 140;

Deno.test({
  ...unless(
    lackingForGo(),
    "kubectl's client library has its streams by SPDY and by WebSocket",
  ),
  async fn(t) {
    let program = "";
    await t.step("it builds", async () => void (program = await buildGoClient()));
    await using registry = await startRegistry();
    await registry.push("e2e/busybox", "1", busyboxImage());
    await using node = await TestNode.make({ insecureRegistries: [registry.address] });
    let server = await node.start(); // the node ends the one that it has last
    const image = `${registry.address}/e2e/busybox:1`;
    await server.client.images.pullImage({ image: { image } });
    const pod = await runEchoes(server.client, node, { image, program });

    const run = async (protocol: string, ...more: string[]) => {
      const { code, passed, rest } = await runGoClient(program, [
        "streams",
        `-endpoint=unix://${node.socket}`,
        `-protocol=${protocol}`,
        `-container=${pod.parrot}`,
        `-terminal=${pod.terminal}`,
        `-pod=${pod.sandbox}`,
        `-port=${PORT}`,
        ...more,
      ]);
      assert.equal(code, 0, `${rest}\n${await tail(server.logPath)}`);
      return passed;
    };
    for (const protocol of ["spdy", "websocket"]) {
      await t.step(`exec, attach and port-forward by ${protocol}`, async () => {
        assert.ok(await run(protocol) >= 24, "the client went through all of its checks");
      });
    }
    await t.step(
      `${FLOOD} commands, ${FLOOD} broken-off clients and as many failures leave nothing behind`,
      async () => {
        const before = await belongings(server, pod.parrot);
        for (const protocol of ["spdy", "websocket"]) {
          await run(
            protocol,
            `-execs=${FLOOD / 2}`,
            `-attaches=${FLOOD / 2}`,
            `-failures=${FAILURES}`,
          );
        }
        // The last ones may be on their way out still.
        let after = await belongings(server, pod.parrot);
        for (const end = Date.now() + 60_000; !isWithin(after, before) && Date.now() < end;) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          after = await belongings(server, pod.parrot);
        }
        assert.ok(isWithin(after, before), `${JSON.stringify(before)}, ${JSON.stringify(after)}`);
      },
    );
    await using certificates = await Certificates.make();
    await useTls(node, certificates);
    await server.stop();
    server = await node.start();
    for (const protocol of ["spdy", "websocket"]) {
      await t.step(`exec, attach and port-forward by ${protocol} over TLS`, async () => {
        const passed = await run(
          protocol,
          `-authority=${certificates.path("ca.pem")}`,
          `-bytes=${BYTES_OVER_TLS}`,
        );
        assert.ok(passed >= 20, "the client went through all of its checks");
      });
    }
    await removePod(server.client, pod.sandbox);
    assert.deepEqual(await node.residue(), []);
  },
});

/** From its next start on the node's server has its streams over TLS. */
async function useTls({ configPath }: TestNode, certificates: Certificates): Promise<void> {
  const lines = [
    "[sauropod.api]",
    "stream_enable_tls = true",
    `stream_tls_cert = "${certificates.path("server.pem")}"`,
    `stream_tls_key = "${certificates.path("server.key")}"`,
  ];
  const text = await Deno.readTextFile(configPath);
  await Deno.writeTextFile(configPath, text.replace("[sauropod.api]", lines.join("\n")));
}

interface Echoes {
  readonly sandbox: string;
  /** Container that repeats lines. */
  readonly parrot: string;
  /** Container with a terminal that tells its size. */
  readonly terminal: string;
}

/**
 * A pod with containers that repeat lines, with a terminal and without, and one that repeats what comes
 * to its port.
 */
async function runEchoes(
  client: CriClient,
  node: TestNode,
  { image, program }: { readonly image: string; readonly program: string },
): Promise<Echoes> {
  const sandboxConfig = podConfig(node, { name: "echoes" });
  const { podSandboxId: sandbox } = await client.runtime.runPodSandbox({ config: sandboxConfig });
  const start = async (config: ReturnType<typeof containerConfig>) => {
    const { containerId } = await client.runtime.createContainer({
      podSandboxId: sandbox,
      config,
      sandboxConfig,
    });
    await client.runtime.startContainer({ containerId });
    return containerId;
  };
  const parrot = await start({
    ...containerConfig({ name: "parrot", image, script: PARROT }),
    stdin: true,
  });
  const terminal = await start({
    ...containerConfig({ name: "terminal", image, script: TERMINAL }),
    stdin: true,
    tty: true,
  });
  const server = containerConfig({ name: "server", image });
  const { mounts } = ContainerConfig.fromPartial({
    mounts: [{ containerPath: "/client", hostPath: program, readonly: true }],
  });
  await start({ ...server, command: ["/client", "echo", String(PORT)], mounts });
  await listens(`${node.logDir}/echoes/${server.logPath}`);
  return { sandbox, parrot, terminal };
}

/** The server says so in its log once it listens. */
async function listens(log: string): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end;) {
    if ((await Deno.readTextFile(log).catch(() => "")).includes("listening")) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nothing in ${log}`);
}
