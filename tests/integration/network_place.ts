/**
 * Networks for tests: CNI plugins and nft run inside a network namespace of the test's own that stands
 * for the host's, so that no bridge, rule or route ever reaches the real one.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type JsonObject, newSandboxId } from "../../src/model/mod.ts";
import {
  AskedPluginVersions,
  type AttachRequest,
  CniConfig,
  CniExec,
  CniNetworks,
  ConntrackFlows,
  EnteredInterfaces,
  type HostInterfaces,
  Nft,
  NftHostPorts,
  PluginDirectories,
} from "../../src/network/mod.ts";
import {
  type Command,
  createLinuxKernel,
  InotifyWatcher,
  NodeProcessRunner,
  type ProcessRunner,
  WorkerNamespaces,
} from "../../src/sys/mod.ts";
import { silentLogger } from "../../src/telemetry/mod.ts";

/** The plugins of Debian. */
export const DEBIAN_PLUGINS = "/usr/lib/cni";
const kernel = createLinuxKernel();

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
/** Far above what anything here takes. */
export const guard = (): AbortSignal => AbortSignal.timeout(60_000);

export async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command(command, { args }).output();
  assert.ok(success, `${command} ${args.join(" ")}: ${text(stderr)}${text(stdout)}`);
  return text(stdout);
}

/** Runs every program inside another network namespace. */
class InNamespace implements ProcessRunner {
  readonly #runner = new NodeProcessRunner();
  constructor(readonly pin: string) {}
  run(command: Command) {
    return this.#runner.run({
      ...command,
      path: "/usr/bin/nsenter",
      args: [`--net=${this.pin}`, command.path, ...command.args],
    });
  }
  spawn(): never {
    throw new Error("these programs are run to their end");
  }
}

/** Settings of another network namespace: /proc/sys/net and /sys/class/net are those of the caller's. */
class InterfacesIn implements HostInterfaces {
  constructor(readonly pin: string) {}

  kind(name: string): "bridge-port" | "routed" | undefined {
    const script = `cd /sys/class/net/${name} && if test -e brport; then echo port; fi`;
    const found = this.#sh(script);
    return found === undefined ? undefined : found === "" ? "routed" : "bridge-port";
  }

  routesLoopback(name: string): boolean {
    return this.#sh(`cat /proc/sys/net/ipv4/conf/${name}/route_localnet`)?.trim() === "1";
  }

  routeLoopback(name: string, on: boolean): void {
    this.#sh(`echo ${on ? 1 : 0} >/proc/sys/net/ipv4/conf/${name}/route_localnet`);
  }

  hairpin(name: string): void {
    this.#sh(`echo 1 >/sys/class/net/${name}/brport/hairpin_mode`);
  }

  #sh(script: string): string | undefined {
    // A mount namespace with a sysfs of the network namespace's own.
    const mounted = `mount -t sysfs sysfs /sys && ${script}`;
    const { success, stdout } = new Deno.Command("nsenter", {
      args: [`--net=${this.pin}`, "unshare", "--mount", "sh", "-c", mounted],
      stderr: "null",
    }).outputSync();
    return success ? text(stdout) : undefined;
  }
}

export interface NetworkParts {
  readonly cniVersion?: string;
  readonly cniVersions?: readonly string[];
  readonly plugins: readonly JsonObject[];
  /** Directories of plugins; Debian's by default. */
  readonly directories?: readonly string[];
}

let serial = 0;

export class NetworkPlace implements AsyncDisposable {
  readonly host: string;
  /** Name of the network and of its folder of leases. */
  readonly name = "test";
  readonly #pins: string[] = [];
  readonly #servers: Deno.ChildProcess[] = [];
  readonly #watcher = new InotifyWatcher(kernel);
  readonly #namespaces = new WorkerNamespaces();
  #config: CniConfig | undefined;

  private constructor(readonly root: string) {
    this.host = `${root}/host`;
  }

  static async make(): Promise<NetworkPlace> {
    const place = new NetworkPlace(await Deno.makeTempDir({ prefix: "sauropod-net-" }));
    await place.pin("host");
    return place;
  }

  /** A network namespace with its loopback up; the path of its pin. */
  async pin(name: string): Promise<string> {
    const net = `${this.root}/${name}`;
    this.#pins.push(net);
    await this.#namespaces.create({ pins: { net }, sysctls: {} });
    return net;
  }

  release(pin: string): Promise<void> {
    return this.#namespaces.release(pin);
  }

  /** Networks by a list of these plugins. */
  async networks(parts: NetworkParts): Promise<CniNetworks> {
    const { plugins, directories = [DEBIAN_PLUGINS], ...versions } = parts;
    const configDir = `${this.root}/net.d`;
    await Deno.mkdir(configDir, { recursive: true });
    await Deno.writeTextFile(
      `${configDir}/10-test.conflist`,
      JSON.stringify({ cniVersion: "1.0.0", ...versions, name: this.name, plugins }),
    );
    const paths = new PluginDirectories(directories);
    const runner = new InNamespace(this.host);
    const exec = new CniExec(runner, paths);
    this.#config?.[Symbol.dispose]();
    this.#config = new CniConfig({
      configDir,
      defaultNetwork: "",
      plugins: paths,
      versions: new AskedPluginVersions(exec, paths),
      watcher: this.#watcher,
      logger: silentLogger,
    });
    await this.#config.start();
    assert.deepEqual(this.#config.readiness(), { ready: true });
    return new CniNetworks({
      kernel,
      config: this.#config,
      exec,
      interfaces: new EnteredInterfaces(runner),
    });
  }

  /** Host ports by rules in the namespace that stands for the host's. */
  hostPorts(table = "sauropod-test"): NftHostPorts {
    const runner = new InNamespace(this.host);
    return new NftHostPorts({
      nft: new Nft(runner),
      table,
      interfaces: new InterfacesIn(this.host),
      flows: new ConntrackFlows(runner, silentLogger),
      log: silentLogger,
    });
  }

  /** host-local with its leases below the test's folder. */
  ipam(...subnets: string[]): JsonObject {
    return {
      type: "host-local",
      ranges: subnets.map((subnet) => [{ subnet }]),
      routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
      dataDir: `${this.root}/ipam`,
    };
  }

  request(netnsPath: string, parts: Partial<AttachRequest> = {}): AttachRequest {
    return {
      sandboxId: newSandboxId(),
      podName: "pod",
      podNamespace: "default",
      podUid: crypto.randomUUID(),
      netnsPath,
      portMappings: [],
      annotations: {},
      cgroupParent: "",
      ...parts,
    };
  }

  inside(pin: string, command: string, ...args: string[]): Promise<string> {
    return output("nsenter", `--net=${pin}`, command, ...args);
  }

  onHost(command: string, ...args: string[]): Promise<string> {
    return this.inside(this.host, command, ...args);
  }

  /** Somebody outside, on a cable to the host: 192.0.2.1 and 2001:db8::1 there, .2 and ::2 here. */
  async outside(): Promise<string> {
    const pin = await this.pin("outside");
    const [here, there] = [`out${serial}`, `ho${serial++}`];
    await this.onHost("ip", "link", "add", there, "type", "veth", "peer", "name", here);
    await this.onHost("ip", "link", "set", here, "netns", pin);
    const setUp = async (netns: string, link: string, last: number) => {
      await this.inside(netns, "ip", "addr", "add", `192.0.2.${last}/24`, "dev", link);
      const address = `2001:db8::${last}/64`;
      await this.inside(netns, "ip", "addr", "add", address, "dev", link, "nodad");
      await this.inside(netns, "ip", "link", "set", link, "up");
    };
    await setUp(this.host, there, 1);
    await setUp(pin, here, 2);
    await this.inside(pin, "ip", "route", "add", "default", "via", "192.0.2.1");
    return pin;
  }

  /**
   * A server in a namespace that answers each line, over TCP and UDP in both families, with its name
   * and the address that it was asked from.
   */
  async serve(pin: string, name: string, port: number): Promise<void> {
    const script = new URL("./answering_server.ts", import.meta.url).pathname;
    const child = new Deno.Command("nsenter", {
      args: [
        `--net=${pin}`,
        Deno.execPath(),
        "run",
        "-A",
        "--unstable-net",
        script,
        name,
        String(port),
      ],
      stdin: "null",
      stdout: "piped",
      env: { DENO_NO_UPDATE_CHECK: "1" },
    }).spawn();
    this.#servers.push(child);
    const reader = child.stdout.getReader();
    assert.equal(text((await reader.read()).value ?? new Uint8Array()), "ready\n");
    await reader.cancel();
  }

  /** What a server answers to a client in a namespace; "" if it does not. */
  async ask(pin: string, protocol: "tcp" | "udp", address: string, port: number): Promise<string> {
    // By head, which reads a datagram at once. Without an answer UDP has to be waited for.
    const script = 'exec 3<>"/dev/$1/$2/$3" && echo hello >&3 && timeout 2 head -n 1 <&3';
    const { stdout } = await new Deno.Command("nsenter", {
      args: [`--net=${pin}`, "timeout", "5", "bash", "-c", script, "bash", protocol, address]
        .concat(String(port)),
      stderr: "null",
      stdin: "null",
    }).output();
    return text(stdout).trim();
  }

  /** Addresses that the IPAM plugin holds as taken. */
  leases(): string[] {
    try {
      return [...Deno.readDirSync(`${this.root}/ipam/${this.name}`)]
        .map(({ name }) => name)
        .filter((name) => /^[0-9a-f.:]+$/.test(name) && /[.:]/.test(name));
    } catch {
      return [];
    }
  }

  /** Interfaces of the host that pods hang on. */
  async veths(): Promise<string[]> {
    const links: { ifname: string }[] = JSON.parse(
      await this.onHost("ip", "-json", "link", "show", "type", "veth"),
    );
    return links.map(({ ifname }) => ifname).filter((name) => name?.startsWith("veth"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      try {
        server.kill("SIGKILL");
      } catch {
        // It did not get far.
      }
      await server.status;
    }
    this.#config?.[Symbol.dispose]();
    this.#watcher[Symbol.dispose]();
    for (const pin of this.#pins.toReversed()) await this.#namespaces.release(pin);
    this.#namespaces[Symbol.dispose]();
    await Deno.remove(this.root, { recursive: true });
  }
}
