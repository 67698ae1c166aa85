/**
 * What `scripts/demo` shows, and how it takes it away again whenever it ends.
 *
 * @module
 */
import { busyboxImage, dockerArchive } from "../tests/integration/test_images.ts";
import { nodeConfiguration } from "../tests/support/node_configuration.ts";
import { endLeftovers, residueOf } from "../tests/support/residue.ts";

const TOP = new URL("../", import.meta.url).pathname;
const IMAGE = "localhost/hello:demo";

const SERVER_START_MS = 30_000;
const SERVER_STOP_MS = 10_000;
const REMOVAL_MS = 60_000;

class Interrupted extends Error {}

/** The demo's own node: every path and name on the host that is its own. */
class Node {
  readonly tag = crypto.getRandomValues(new Uint8Array(4)).toHex();
  readonly bridge = `srpdemo${this.tag}`;
  readonly root: string;
  readonly leases: string;
  readonly socket: string;
  readonly config: string;
  /** No cgroup is called so: containers are found by their monitors. */
  readonly cgroupParent = `/sauropod-demo-${this.tag}`;

  constructor(readonly directory: string) {
    this.root = `${directory}/root`;
    this.leases = `${directory}/leases`;
    this.socket = `${directory}/sock/sauropod.sock`;
    this.config = `${directory}/sauropod.toml`;
  }

  async writeFiles(): Promise<void> {
    const { directory } = this;
    await Deno.mkdir(`${directory}/cni`);
    await Deno.writeTextFile(this.config, nodeConfiguration(this));
    await Deno.writeTextFile(`${directory}/policy.json`, POLICY);
    await Deno.writeTextFile(`${directory}/registries.conf`, "");
    await Deno.writeTextFile(`${directory}/cni/10-demo.conflist`, this.#network());
    await Deno.writeFile(
      `${directory}/hello.tar`,
      dockerArchive([{ image: busyboxImage({ compression: "none" }), tags: [IMAGE] }]),
    );
  }

  /**
   * A bridge without an address: the node's routes, forwarding and packet filter stay as they are.
   * The subnet is one that is kept for documentation.
   */
  #network(): string {
    return JSON.stringify({
      cniVersion: "1.0.0",
      name: this.bridge,
      plugins: [{
        type: "bridge",
        bridge: this.bridge,
        ipam: {
          type: "host-local",
          dataDir: this.leases,
          ranges: [[{ subnet: "192.0.2.0/24" }]],
        },
      }],
    });
  }
}

const POLICY = JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] });

/** The server, in a session of its own so that Ctrl-C reaches us alone. */
class Server {
  #child: Deno.ChildProcess | undefined;
  #ended: Promise<Deno.CommandStatus> | undefined;

  constructor(readonly node: Node) {}

  async start(): Promise<void> {
    const { directory, config } = this.node;
    const log = `${directory}/server.log`;
    this.#child = sauropod([
      "serve",
      ...["--config", config, "--registries-conf", `${directory}/registries.conf`, "--log", log],
    ], { stdout: "null", stderr: "inherit" }).spawn();
    this.#ended = this.#child.status;
    let ended = false;
    void this.#ended.then(() => ended = true);
    const deadline = performance.now() + SERVER_START_MS;
    while (!await answers(this.node.socket)) {
      if (ended || performance.now() > deadline) {
        throw new Error(
          `The server did not start:\n${await Deno.readTextFile(log).catch(() => "")}`,
        );
      }
      await sleep(20);
    }
  }

  get isStarted(): boolean {
    return this.#child !== undefined;
  }

  async stop(): Promise<void> {
    if (this.#child === undefined || this.#ended === undefined) return;
    const child = this.#child;
    this.#child = undefined;
    tryKill(child, "SIGTERM");
    const late = setTimeout(() => tryKill(child, "SIGKILL"), SERVER_STOP_MS);
    await this.#ended;
    clearTimeout(late);
  }
}

async function demonstrate(node: Node, server: Server, signal: AbortSignal): Promise<void> {
  const command = (...args: string[]) => show(node, signal, args);
  say(`a folder for everything that follows: ${node.directory}`);
  await node.writeFiles();
  say("an image made from this node's busybox: hello.tar");
  say("the server, with state, socket and bridge of its own");
  await server.start();
  signal.throwIfAborted();
  await command("load", `${node.directory}/hello.tar`);
  await command("images");
  await command("play", "examples/hello.yaml");
  await command("pods");
  await command("ps");
  await command("logs", "hello");
  await command("exec", "hello", "ip", "address", "show", "dev", "eth0");
  await command("exec", "hello", "cat", "/scratch/started");
  await command("play", "--down", "examples/hello.yaml");
}

/** Leaves nothing, however far the demo came. */
async function takeAway(node: Node, server: Server): Promise<void> {
  say("taking everything away");
  if (server.isStarted) {
    try {
      if (!await answers(node.socket)) {
        // Whatever ended it: the next start finds what the record says and can remove it.
        await server.stop();
        await server.start();
      }
      await removePods(node);
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
    }
    await server.stop();
  }
  const left = await residueOf(node);
  for (const thing of left) console.error(`the server left ${thing}`);
  await endLeftovers(node);
  await Deno.remove(node.directory, { recursive: true });
  if (left.length > 0) throw new Error("The server did not clean up by itself");
}

async function removePods({ socket }: Node): Promise<void> {
  const { success, stderr } = await sauropod(["rm", "--socket", socket, "-p", "-f", "-a"], {
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(REMOVAL_MS),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Prints a command as one would type it, and runs it. */
async function show({ socket }: Node, signal: AbortSignal, args: string[]): Promise<void> {
  signal.throwIfAborted();
  console.log(`\n$ sauropod ${args.join(" ")}`);
  const child = sauropod(args, {
    stdout: "inherit",
    stderr: "inherit",
    env: { SAUROPOD_ENDPOINT: socket },
  }).spawn();
  const interrupt = () => tryKill(child, "SIGINT");
  signal.addEventListener("abort", interrupt);
  const { success, code } = await child.status;
  signal.removeEventListener("abort", interrupt);
  signal.throwIfAborted();
  if (!success) throw new Error(`sauropod ${args[0]} ended with status ${code}`);
}

/** From source: that starts as fast as `dist/sauropod` and needs no build. */
function sauropod(args: readonly string[], options: Deno.CommandOptions): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--no-check", `${TOP}main.ts`, ...args],
    stdin: "null",
    cwd: TOP,
    detached: true,
    ...options,
  });
}

async function answers(path: string): Promise<boolean> {
  try {
    using _connection = await Deno.connect({ transport: "unix", path });
    return true;
  } catch {
    return false;
  }
}

function tryKill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended meanwhile.
  }
}

function say(text: string): void {
  console.log(`== ${text}`);
}

function sleep(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

async function main(): Promise<number> {
  const startedMs = performance.now();
  const interruption = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => interruption.abort(new Interrupted(name)));
  }
  const node = new Node(await Deno.makeTempDir({ prefix: "sauropod-demo-" }));
  const server = new Server(node);
  let status = 0;
  try {
    await demonstrate(node, server, interruption.signal);
  } catch (error) {
    status = error instanceof Interrupted ? 130 : 1;
    console.error(error instanceof Interrupted ? "interrupted" : error);
  }
  console.log();
  await takeAway(node, server);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (status === 0) say(`done in ${seconds} s; nothing is left on this machine`);
  return status;
}

if (import.meta.main) Deno.exit(await main());
