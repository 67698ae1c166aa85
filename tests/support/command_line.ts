/** The command line as a person uses it, against a test's own server. @module */
import assert from "node:assert/strict";
import { busyboxImage, dockerArchive } from "../integration/test_images.ts";
import { serverCommand, TestNode } from "./test_node.ts";

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command of the command line to its end; `stdin` is its input. */
export async function sauropod(
  node: TestNode,
  args: readonly string[],
  stdin?: string | Uint8Array,
): Promise<Result> {
  const child = spawnSauropod(node, args);
  const writer = child.stdin.getWriter();
  if (stdin !== undefined) {
    await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
  }
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

export function spawnSauropod(node: TestNode, args: readonly string[]): Deno.ChildProcess {
  const [program, first] = serverCommand();
  return new Deno.Command(program, {
    args: [...first, ...args],
    env: { SAUROPOD_ENDPOINT: node.socket, NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Loads busybox under a name; its `PATH` is `/bin`. */
export async function loadBusybox(node: TestNode, name: string): Promise<void> {
  const archive = dockerArchive([{
    image: busyboxImage({ config: { Env: ["PATH=/bin"] } }),
    tags: [name],
  }]);
  const loaded = await sauropod(node, ["load"], archive);
  assert.equal(loaded.out, `${name}\n`, loaded.err);
}

/** Runs `body` on a node that serves and has busybox as `bb:1`; it must leave nothing behind. */
export async function withImage(body: (node: TestNode) => Promise<void>): Promise<void> {
  await using node = await TestNode.make();
  await node.start();
  await loadBusybox(node, "docker.io/library/bb:1");
  await body(node);
  assert.deepEqual(await node.residue(), []);
}

/** Names of the folders that `play` keeps volumes in. */
export function volumeFolders(node: TestNode): string[] {
  const folder = `${node.socket.replace(/[^/]*$/, "")}play`;
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}
