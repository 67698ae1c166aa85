/**
 * A kubelet without an API server, as a process of its own: its pods are the manifests in a folder.
 * Whatever it would write elsewhere on the machine it finds covered in a mount namespace of its own.
 *
 * @module
 */
import type { TestNode } from "../support/test_node.ts";

/** What tests read of a pod, in the words of the Kubernetes API. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: PodStatus;
}

export interface PodStatus {
  readonly phase: string;
  readonly podIP?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  /** `sauropod://<id>` */
  readonly containerID?: string;
  readonly image: string;
  readonly imageID: string;
  readonly state: ContainerStates;
  readonly lastState: ContainerStates;
}

export interface ContainerStates {
  readonly waiting?: { readonly reason: string; readonly message?: string };
  readonly running?: { readonly startedAt: string };
  readonly terminated?: {
    readonly exitCode: number;
    readonly reason: string;
    readonly message?: string;
    readonly startedAt: string;
    readonly finishedAt: string;
  };
}

/** The node's name: the kubelet appends it to the names of its static pods. */
export const NODE_NAME = "testnode";

/** Kernel settings that the kubelet writes, with what it wants: it finds them as it wants them. */
const TUNABLES = {
  "vm/overcommit_memory": 1,
  "vm/panic_on_oom": 0,
  "kernel/panic": 10,
  "kernel/panic_on_oops": 1,
  "kernel/keys/root_maxkeys": 1_000_000,
  "kernel/keys/root_maxbytes": 25_000_000,
};

/** Covers, in this process' mount namespace, what the kubelet writes outside its own folder. */
const COVER = `
for path in /var/lib /var/log /proc; do
  mount --make-private "$(findmnt --noheadings --output TARGET --target $path)" || exit
done
for path in /var/lib /var/log; do mount -t tmpfs -o mode=755 kubelet $path || exit; done
for file in "$1"/tunables/*; do
  name=$(basename "$file")
  mount --bind "$file" "/proc/sys/$(echo "$name" | tr : /)" || exit
done
log=$2; shift 2
exec "$@" >>"$log" 2>&1
`;

/** Kubelets of one node, one after the other over the same state. */
export class Kubelet implements AsyncDisposable {
  readonly #binary: string;
  readonly #node: TestNode;
  readonly #directory: string;
  readonly #readOnlyPort: number;
  #child: Deno.ChildProcess | undefined;

  private constructor(binary: string, node: TestNode, readOnlyPort: number) {
    this.#binary = binary;
    this.#node = node;
    this.#directory = `${node.directory}/kubelet`;
    this.#readOnlyPort = readOnlyPort;
  }

  /** @param settings members of the KubeletConfiguration beside those that keep it to itself */
  static async make(
    binary: string,
    node: TestNode,
    settings: Record<string, unknown>,
  ): Promise<Kubelet> {
    const directory = `${node.directory}/kubelet`;
    for (const name of ["root", "manifests", "pods-logs", "plugins", "tunables"]) {
      await Deno.mkdir(`${directory}/${name}`, { recursive: true });
    }
    for (const [name, value] of Object.entries(TUNABLES)) {
      await Deno.writeTextFile(`${directory}/tunables/${name.replaceAll("/", ":")}`, `${value}\n`);
    }
    // The volumes that the kubelet mounts below it are seen by the runtime.
    await command("mount", "--bind", `${directory}/root`, `${directory}/root`);
    await command("mount", "--make-shared", `${directory}/root`);
    await Deno.writeTextFile(`${directory}/resolv.conf`, "nameserver 192.0.2.53\n");
    const [readOnlyPort, port, healthzPort] = freePorts(3);
    await Deno.writeTextFile(
      `${directory}/config.json`,
      JSON.stringify({
        apiVersion: "kubelet.config.k8s.io/v1beta1",
        kind: "KubeletConfiguration",
        containerRuntimeEndpoint: `unix://${node.socket}`,
        staticPodPath: `${directory}/manifests`,
        podLogsDir: `${directory}/pods-logs`,
        volumePluginDir: `${directory}/plugins`,
        resolvConf: `${directory}/resolv.conf`,
        address: "127.0.0.1",
        port,
        readOnlyPort,
        healthzBindAddress: "127.0.0.1",
        healthzPort,
        authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
        authorization: { mode: "AlwaysAllow" },
        cgroupDriver: "cgroupfs",
        cgroupRoot: node.cgroupParent,
        failCgroupV1: false,
        failSwapOn: false,
        makeIPTablesUtilChains: false,
        oomScoreAdj: 0,
        fileCheckFrequency: "1s",
        syncFrequency: "10s",
        evictionHard: { "memory.available": "10Mi" },
        ...settings,
      }),
    );
    return new Kubelet(binary, node, readOnlyPort!);
  }

  get logPath(): string {
    return `${this.#directory}/kubelet.log`;
  }

  get pid(): number {
    return this.#child!.pid;
  }

  /** Starts it; it is healthy when this returns. */
  async start(): Promise<void> {
    this.#makeCgroupRoot();
    const cover = ["--mount", "--propagation", "unchanged", "/bin/sh", "-c", COVER, "sh"];
    this.#child = new Deno.Command("unshare", {
      args: [
        ...cover,
        this.#directory,
        this.logPath,
        this.#binary,
        `--config=${this.#directory}/config.json`,
        `--root-dir=${this.#directory}/root`,
        `--cert-dir=${this.#directory}/root/pki`,
        `--hostname-override=${NODE_NAME}`,
        "--v=4",
      ],
      stdin: "null",
    }).spawn();
    const ended = this.#child.status.then(() => true);
    for (;;) {
      if (await this.health() === "ok") return;
      const pause = new Promise<false>((resolve) => setTimeout(() => resolve(false), 100));
      if (await Promise.race([ended, pause])) {
        throw new Error(
          `the kubelet ended: ${(await Deno.readTextFile(this.logPath)).slice(-3000)}`,
        );
      }
    }
  }

  /** What it says of itself; empty while it does not answer. */
  async health(): Promise<string> {
    return await this.#get("/healthz").catch(() => "");
  }

  async pods(): Promise<readonly Pod[]> {
    const { items } = JSON.parse(await this.#get("/pods")) as { items: readonly Pod[] | null };
    return items ?? [];
  }

  /** Puts a pod's manifest where the kubelet finds it. */
  async apply(name: string, manifest: unknown): Promise<void> {
    const hidden = `${this.#directory}/manifests/.${name}.json`;
    await Deno.writeTextFile(hidden, JSON.stringify(manifest));
    await Deno.rename(hidden, `${this.#directory}/manifests/${name}.json`);
  }

  async withdraw(name: string): Promise<void> {
    await Deno.remove(`${this.#directory}/manifests/${name}.json`);
  }

  /** Names of the manifests that are there. */
  manifests(): string[] {
    return [...Deno.readDirSync(`${this.#directory}/manifests`)].map(({ name }) =>
      name.replace(".json", "")
    );
  }

  async log(): Promise<string> {
    return await Deno.readTextFile(this.logPath);
  }

  /** SIGTERM, or SIGKILL; its pods run on. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    try {
      this.#child?.kill(signal);
    } catch {
      // It has ended already.
    }
    await this.#child?.status;
    this.#child = undefined;
  }

  async #get(path: string): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#readOnlyPort}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return text;
  }

  /** Ends it, and takes away what it mounted and the cgroups of its quality classes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await command("umount", "--recursive", "--lazy", `${this.#directory}/root`);
    this.removeCgroups();
  }

  /** The kubelet wants its root to be there in every hierarchy that it uses. */
  #makeCgroupRoot(): void {
    for (const hierarchy of cgroupHierarchies()) {
      Deno.mkdirSync(`${hierarchy}${this.#node.cgroupParent}`, { recursive: true });
    }
  }

  /** The groups of the quality classes, which the kubelet leaves; one with something in it stays. */
  removeCgroups(): void {
    for (const hierarchy of cgroupHierarchies()) {
      for (const below of ["/kubepods/burstable", "/kubepods/besteffort", "/kubepods", ""]) {
        try {
          Deno.removeSync(`${hierarchy}${this.#node.cgroupParent}${below}`);
        } catch {
          // Not in this hierarchy, or not empty, which the look for residue tells.
        }
      }
    }
  }
}

/** Where the machine's cgroup hierarchies are mounted. */
function cgroupHierarchies(): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .filter((line) => / - cgroup2? /.test(line)).map((line) => line.split(" ")[4]!);
}

function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

async function command(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) {
    throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}
