/**
 * A node for tests: the real server as a process of its own, with root, run root, socket, CNI
 * configuration, bridge and cgroup parent that nobody else uses, and a look at what is left of it.
 *
 * @module
 */
import { connectCri, type CriClient } from "./cri_client.ts";
import { nodeConfiguration } from "./node_configuration.ts";
import { residueOf } from "./residue.ts";

const TOP = new URL("../../", import.meta.url).pathname;

export interface TestNodeOptions {
  /** Lines for `[sauropod.image]` and others, appended to the configuration. */
  readonly extraConfig?: string;
  /** Root on a file system of the test's own instead of the temporary folder. */
  readonly root?: string;
  /** `host:port` of registries that speak plain HTTP. */
  readonly insecureRegistries?: readonly string[];
}

export interface ServerStart {
  /** `--fault-gates`. */
  readonly faultGate?: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * The server sees this boot id instead of the machine's: it runs in a mount namespace of its own in
   * which the kernel's file is covered, and so do the pods that it makes.
   */
  readonly bootId?: string;
  /**
   * The server is on a network of its own, where this address of IPv4 is the host's, and so are the pods that
   * it makes.
   */
  readonly hostAddress?: string;
}

let serial = 0;

/** A place where servers are started one after the other over the same state. */
export class TestNode implements AsyncDisposable {
  readonly directory: string;
  readonly root: string;
  readonly runRoot: string;
  readonly socket: string;
  readonly logDir: string;
  readonly configPath: string;
  readonly bridge: string;
  /** Every pod of the test goes below it. */
  readonly cgroupParent: string;
  readonly leases: string;
  readonly #subnet: string;
  #server: RunningServer | undefined;

  private constructor(directory: string, options: TestNodeOptions) {
    const tag = `${Deno.pid.toString(36)}${serial++}`;
    this.#subnet = `10.${64 + (Deno.pid % 64)}.${serial % 256}.0/24`;
    this.directory = directory;
    this.root = options.root ?? `${directory}/root`;
    this.runRoot = `${directory}/run`;
    this.socket = `${directory}/sock/sauropod.sock`;
    this.logDir = `${directory}/logs`;
    this.configPath = `${directory}/sauropod.toml`;
    this.bridge = `srp${tag}`.slice(0, 15);
    this.cgroupParent = `/sauropod-test-${tag}`;
    this.leases = `${directory}/leases`;
  }

  static async make(options: TestNodeOptions = {}): Promise<TestNode> {
    const directory = await Deno.makeTempDir({ prefix: "sauropod-node-" });
    const node = new TestNode(directory, options);
    await node.#writeFiles(options);
    return node;
  }

  /** Starts the server; it answers when this returns. */
  async start(start: ServerStart = {}): Promise<RunningServer> {
    const server = await RunningServer.start(this, start);
    this.#server = server;
    return server;
  }

  /** Starts a server that is expected to die or to refuse; resolves when it answers or has ended. */
  async launch(start: ServerStart = {}): Promise<RunningServer> {
    const server = RunningServer.spawn(this, start);
    this.#server = server;
    await Promise.race([server.answers(), server.ended]);
    return server;
  }

  /** Everything of this node's that is still on the host. Empty after all pods were removed. */
  async residue(): Promise<string[]> {
    return await residueOf(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await cleanUp(this);
  }

  async #writeFiles({ extraConfig = "", insecureRegistries = [] }: TestNodeOptions): Promise<void> {
    const { directory } = this;
    for (const name of ["run", "logs", "cni", "leases", "namespaces", "exits", "attach"]) {
      await Deno.mkdir(`${directory}/${name}`, { recursive: true, mode: 0o700 });
    }
    await Deno.mkdir(this.root, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(
      `${directory}/cni/10-test.conflist`,
      JSON.stringify({
        cniVersion: "1.0.0",
        name: `test-${this.bridge}`,
        plugins: [
          {
            type: "bridge",
            bridge: this.bridge,
            isGateway: true,
            ipMasq: false,
            ipam: {
              type: "host-local",
              dataDir: this.leases,
              ranges: [[{ subnet: this.#subnet }]],
              routes: [{ dst: "0.0.0.0/0" }],
            },
          },
        ],
      }),
    );
    await Deno.writeTextFile(
      `${directory}/policy.json`,
      JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
    );
    await Deno.writeTextFile(
      `${directory}/registries.conf`,
      insecureRegistries.map((location) =>
        `[[registry]]\nlocation = "${location}"\ninsecure = true\n`
      ).join("\n"),
    );
    await Deno.writeTextFile(
      this.configPath,
      nodeConfiguration(this, [
        `runtime_path = "${await which("runc")}"`,
        `monitor_path = "${await which("conmon")}"`,
        'monitor_env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]',
      ]) + `${extraConfig}\n`,
    );
  }
}

/** One server process of a node. */
export class RunningServer implements AsyncDisposable {
  readonly pid: number;
  readonly client: CriClient;
  /** Exit status, when it has ended. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly logPath: string;
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess, client: CriClient, logPath: string) {
    this.#child = child;
    this.pid = child.pid;
    this.client = client;
    this.ended = child.status;
    this.logPath = logPath;
  }

  static spawn(node: TestNode, start: ServerStart): RunningServer {
    const logPath = `${node.directory}/server.log`;
    const args = ["serve", "--config", node.configPath];
    args.push("--registries-conf", `${node.directory}/registries.conf`);
    if (start.faultGate !== undefined) args.push("--fault-gates", start.faultGate);
    const [program, first] = serverCommand();
    // The shell gives way to the server, so that its pid is the one that tests kill.
    const child = new Deno.Command("/bin/sh", {
      args: [
        "-c",
        'log=$1; shift; exec "$@" >>"$log" 2>&1',
        "sh",
        logPath,
        ...(start.bootId === undefined ? [] : inBoot(node, start.bootId)),
        ...(start.hostAddress === undefined ? [] : inNetwork(start.hostAddress)),
        program,
        ...first,
        ...args,
      ],
      stdin: "null",
      env: { NO_COLOR: "1", SAUROPOD_UNPACK_DIR: `${TOP}.cache/exec`, ...start.env },
    }).spawn();
    return new RunningServer(child, connectCri(node.socket), logPath);
  }

  static async start(node: TestNode, start: ServerStart): Promise<RunningServer> {
    const server = RunningServer.spawn(node, start);
    const answered = await Promise.race([
      server.answers().then(() => true),
      server.ended.then(() => false),
    ]);
    if (!answered) {
      throw new Error(`the server ended: ${await Deno.readTextFile(server.logPath)}`);
    }
    return server;
  }

  /** Resolves once Version is answered. */
  async answers(): Promise<void> {
    for (;;) {
      try {
        await this.client.runtime.version({}, { timeoutMs: 2_000 });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (await isSettled(this.ended)) return;
      }
    }
  }

  /** kill -9, reaped when it resolves. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended;
    this.client[Symbol.dispose]();
  }

  /** SIGTERM, and its exit status. */
  async stop(): Promise<Deno.CommandStatus> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended already.
    }
    const status = await this.ended;
    this.client[Symbol.dispose]();
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The executable that SAUROPOD_BINARY names, as `scripts/test` does with what it built; else the source. */
export function serverCommand(): [string, string[]] {
  const binary = Deno.env.get("SAUROPOD_BINARY") ?? "";
  return binary !== ""
    ? [binary, []]
    : [Deno.execPath(), ["run", "-A", "--quiet", "--no-check", `${TOP}main.ts`]];
}

/** A command in front of another one, which then finds another boot id; the pid stays the same. */
function inBoot(node: TestNode, bootId: string): string[] {
  const file = `${node.directory}/boot-${bootId}`;
  Deno.writeTextFileSync(file, `${bootId}\n`);
  const script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"';
  return ["unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c", script, "sh", file];
}

/** The same for a command that finds itself on a host with nothing but this address, and a default route. */
function inNetwork(address: string): string[] {
  const script = "ip link set lo up && ip link add uplink type veth peer name elsewhere && " +
    'ip address add "$1/24" dev uplink && ip link set elsewhere up && ip link set uplink up && ' +
    'ip route add default dev uplink && shift && exec "$@"';
  return ["unshare", "--net", "/bin/sh", "-c", script, "sh", address];
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  return await Promise.race([promise, Promise.resolve(pending)]) !== pending;
}

async function which(program: string): Promise<string> {
  for (const directory of (Deno.env.get("PATH") ?? "").split(":").concat("/usr/sbin", "/sbin")) {
    try {
      if ((await Deno.stat(`${directory}/${program}`)).isFile) return `${directory}/${program}`;
    } catch {
      // Not here.
    }
  }
  throw new Error(`${program} is not installed`);
}

/** Takes away what a failed test left, newest layer first, and the node's folder. */
async function cleanUp(node: TestNode): Promise<void> {
  const { endLeftovers } = await import("./residue.ts");
  await endLeftovers(node);
  await Deno.remove(node.directory, { recursive: true });
}
