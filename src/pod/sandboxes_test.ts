import assert from "node:assert/strict";
import {
  DeadlineExceededError,
  FailedPreconditionError,
  ResourceExhaustedError,
  SauropodError,
  UnavailableError,
} from "../errors/mod.ts";
import { SystemClock } from "../model/mod.ts";
import { type Attachment, type HostPortEntry, HostPortLedger } from "../network/mod.ts";
import {
  LinuxPodSandboxConfig,
  NamespaceMode,
  PodSandboxConfig,
  type PortMapping,
  Protocol,
} from "../proto/mod.ts";
import { JournalStepRunner, PodState, ResourceTypes, Undoer } from "../state/mod.ts";
import type { ProcessIdentity } from "../sys/watching.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { sandboxEvents } from "./event.ts";
import { PodLayout } from "./layout.ts";
import { KeyedMutex } from "./mutex.ts";
import { failed } from "./pid_holders.ts";
import { PodRegistry } from "./registry.ts";
import { PodResources } from "./resources.ts";
import { Sandboxes } from "./sandboxes.ts";

const ATTACHED: Attachment = { network: "net", ips: ["10.0.0.2"], result: {} };

/** A port of the host that a program of the host listens on. */
const LISTENED = 22;
const SOCKET = { address: "0.0.0.0", port: LISTENED, inode: "1" };
const HOLDER: ProcessIdentity = { pid: 4711, startTime: "1", bootId: "boot" };

/** Sandboxes over a real record and real step runner; what the kernel would do is only noted. */
class House implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly state = PodState.open({ path: `${this.directory}/pods.db`, bootId: "boot" });
  readonly pinned = new Set<string>();
  /** What of the network was undone, in order. */
  readonly undone: string[] = [];
  readonly opened: HostPortEntry[] = [];
  pluginOpensPorts = false;
  open: (entry: HostPortEntry) => Promise<void> = (entry) =>
    Promise.resolve(void this.opened.push(entry));
  /** Pins cannot be released. */
  stuck = false;
  detach: () => Promise<void> = () => Promise.resolve();
  /** The record refuses the next write of a sandbox. */
  diskFull = false;
  /** Sandboxes whose PID namespace has a holder. */
  readonly held = new Set<string>();
  readonly watched = new Set<string>();
  readonly forwardsEnded = new Set<string>();
  hasHolder = true;
  hold: () => Promise<ProcessIdentity> = () => Promise.resolve(HOLDER);
  attach: (signal: AbortSignal) => Promise<Attachment> = () => Promise.resolve(ATTACHED);
  readonly sandboxes: Sandboxes;
  readonly registry: PodRegistry;

  constructor() {
    const { state, directory } = this;
    const layout = new PodLayout({
      root: `${directory}/root`,
      runRoot: `${directory}/run`,
      namespacesDir: `${directory}/ns`,
      logDir: `${directory}/logs`,
    });
    const namespaces = {
      create: ({ pins }: { pins: object }) => {
        for (const pin of Object.values(pins)) this.pinned.add(pin as string);
        return Promise.resolve();
      },
      pinPid: ({ path }: { path: string }) => Promise.resolve(void this.pinned.add(path)),
      release: (pin: string) => {
        if (this.stuck) return Promise.reject(new UnavailableError("the pin is busy"));
        return Promise.resolve(void this.pinned.delete(pin));
      },
    };
    const resources = new PodResources({
      namespaces,
      mounts: { mountTmpfs: () => {}, unmountTree: () => Promise.resolve() },
      trees: {
        removeTree: (path) => Deno.remove(path, { recursive: true }).catch(() => {}),
      },
      cgroups: {
        missing: () => [],
        create: () => Promise.resolve(),
        removeEmpty: () => Promise.resolve(),
      },
      defaultCgroupParent: "/pods",
      cgroupsInUse: () => [],
    });
    const types = new ResourceTypes();
    for (const type of resources.types()) types.register(type);
    types.register({
      kind: "cni-attachment",
      parse: (payload) => payload,
      undo: async () => {
        await this.detach();
        this.undone.push("attachment");
      },
    });
    types.register({
      kind: "host-ports",
      parse: (payload) => payload,
      undo: () => Promise.resolve(void this.undone.push("host ports")),
    });
    types.register({
      kind: "pid-namespace-holder",
      parse: (payload) => payload,
      undo: (payload) => Promise.resolve(void this.held.delete((payload as { id: string }).id)),
    });
    const { journal, sandboxes, containers } = state;
    const undoer = new Undoer({ journal, types, bootId: "boot" });
    const runner = new JournalStepRunner({ journal, undoer, graceMs: 20 });
    this.registry = new PodRegistry({
      sandboxes: {
        put: (id, value) => {
          if (this.diskFull) throw new ResourceExhaustedError("database or disk is full");
          sandboxes.put(id, value);
        },
        delete: (id) => {
          if (this.diskFull) throw new ResourceExhaustedError("database or disk is full");
          sandboxes.delete(id);
        },
        get: (id) => sandboxes.get(id),
        all: () => sandboxes.all(),
      },
      containers,
      mirror: { write: () => {}, forget: () => Promise.resolve() },
    });
    this.sandboxes = new Sandboxes({
      registry: this.registry,
      resourcesOf: (id) => journal.ofOwner(id),
      runner,
      rooms: {
        layout,
        namespaces,
        networks: { attach: (_chosen, _request, signal) => this.attach(signal) },
        hostPorts: {
          assertUsable: () => {},
          plan: (sandboxId, mappings) => {
            return { sandboxId, mappings, addresses: [], loopbackRoutes: [], bridgePorts: [] };
          },
          open: (entry) => this.open(entry),
        },
        resources,
        pidHolders: {
          intent: ({ id }) => ({ kind: "pid-namespace-holder", payload: { id } }),
          start: ({ id }) => {
            this.held.add(id);
            return this.hold();
          },
          pin: (_record, path) => Promise.resolve(void this.pinned.add(path)),
        },
        nodeFiles: { hosts: () => Promise.resolve(""), resolvConf: () => Promise.resolve("") },
        deadlines: {
          filesMs: 30_000,
          namespacesMs: 30_000,
          pidHolderMs: 30_000,
          networkMs: 50,
          hostPathsMs: 30_000,
          startMs: 30_000,
          updateMs: 30_000,
        },
      },
      networks: {
        choose: () => ({ name: "net", configuration: {} }),
        opensHostPorts: () => this.pluginOpensPorts,
        selection: () => ({ ips: [], mac: "" }),
      },
      podCidrs: () => [],
      portForwards: { end: (id) => void this.forwardsEnded.add(id) },
      ledger: new HostPortLedger({
        withPort: (_protocol, port) => Promise.resolve(port === LISTENED ? [SOCKET] : []),
        holderOf: () => Promise.resolve({ pid: 42, name: "nginx" }),
      }),
      runtime: { resolveHandler: () => "runc" },
      pidHolders: {
        assertAvailable: () => {
          if (!this.hasHolder) throw new FailedPreconditionError("no catatonit", {});
        },
        watch: ({ id }) => void this.watched.add(id),
        forget: (id) => void this.watched.delete(id),
      },
      members: { stopAll: () => Promise.resolve(), removeAll: () => Promise.resolve() },
      mutex: new KeyedMutex(),
      layout,
      settings: {
        cgroupDriver: "cgroupfs",
        defaultCgroupParent: "/pods",
        defaultSysctls: [],
        hostPortMapping: true,
        shmBytes: 1n,
        annotationRules: () => ({ allowed: [], defaults: {} }),
        nodeName: "node",
        podEvents: false,
      },
      clock: new SystemClock(),
      bootId: "boot",
      log: silentLogger,
      assertSpace: () => {},
    });
  }

  run(name = "pod", labels: Record<string, string> = {}, more: Partial<PodSandboxConfig> = {}) {
    const config = PodSandboxConfig.fromPartial({
      metadata: { name, namespace: "ns", uid: "u" },
      labels,
      ...more,
    });
    return this.sandboxes.run({ config, runtimeHandler: "" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.state[Symbol.asyncDispose]();
    await Deno.remove(this.directory, { recursive: true });
  }
}

Deno.test("a stage past its deadline is undone, named in the error, and the name is free", async () => {
  await using house = new House();
  house.attach = (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const error = await house.run().then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof DeadlineExceededError, String(error));
  assert.equal(error.details.stage, "network-attach");
  assert.deepEqual([...house.pinned], [], "the namespaces are undone");
  assert.deepEqual(house.undone, ["attachment"], "half an attachment is taken away");
  assert.deepEqual(house.state.sandboxes.all(), []);
  assert.deepEqual(await house.state.journal.owners(), []);

  house.attach = () => Promise.resolve(ATTACHED);
  const id = await house.run();
  assert.deepEqual(house.sandboxes.status(id, false).status?.network?.ip, "10.0.0.2");
});

Deno.test("a plugin that ignores its signal does not hold the name either", async () => {
  await using house = new House();
  const never = Promise.withResolvers<Attachment>();
  house.attach = () => never.promise;
  await assert.rejects(house.run(), DeadlineExceededError);
  assert.deepEqual([...house.pinned], []);
  house.attach = () => Promise.resolve(ATTACHED);
  await house.run();
  never.resolve(ATTACHED);
});

Deno.test("an identical request joins the one under way, another content is refused with its id", async () => {
  await using house = new House();
  const gate = Promise.withResolvers<Attachment>();
  house.attach = () => gate.promise;
  const first = house.run();
  const second = house.run();
  await assert.rejects(house.run("pod", { other: "content" }), (error: unknown) => {
    return error instanceof SauropodError && error.kind === "already_exists" &&
      /^[0-9a-f]{64}$/.test(error.details.id ?? "");
  });
  gate.resolve(ATTACHED);
  assert.equal(await first, await second);
  assert.equal(await house.run(), await first, "finished, it gives the same id");
});

Deno.test("a sandbox that was stopped keeps its name until it is removed", async () => {
  await using house = new House();
  const id = await house.run();
  await house.sandboxes.stop(id);
  assert.deepEqual(house.undone, ["attachment"]);
  assert.ok(house.forwardsEnded.has(id), "no connection keeps its network namespace");
  await assert.rejects(house.run(), /no longer ready/);
  await house.sandboxes.remove(id);
  assert.notEqual(await house.run(), id);
});

const port = (hostPort: number, hostIp = "") => ({
  protocol: Protocol.TCP,
  containerPort: 80,
  hostPort,
  hostIp,
});
const withPorts = (...portMappings: PortMapping[]) => ({ portMappings });
const HOST_NETWORK = {
  linux: LinuxPodSandboxConfig.fromPartial({
    securityContext: { namespaceOptions: { network: NamespaceMode.NODE } },
  }),
};

Deno.test("host ports are opened by the network's plugin if it has one, else by our own rules", async () => {
  await using house = new House();
  const own = await house.run("own", {}, withPorts(port(8080), port(0)));
  assert.deepEqual(house.opened.map(({ mappings }) => mappings), [[
    { protocol: "tcp", containerPort: 80, hostPort: 8080, hostIp: "" },
  ]]);
  house.pluginOpensPorts = true;
  await house.run("plugins", {}, withPorts(port(8081)));
  assert.equal(house.opened.length, 1);
  // The record says which it was, whatever the network's list says by now.
  await house.sandboxes.stop(own);
  assert.deepEqual(house.undone, ["host ports", "attachment"], "ports are closed first");
});

Deno.test("a host port that another pod has is refused by that pod's name until it is stopped", async () => {
  await using house = new House();
  const first = await house.run("first", {}, withPorts(port(8080)));
  await assert.rejects(
    house.run("second", {}, withPorts(port(8080, "127.0.0.1"))),
    (error: Error) =>
      error instanceof FailedPreconditionError && error.message.includes("pod ns/first") &&
      error.message.includes(first) && error.message.includes("127.0.0.1:8080/tcp"),
  );
  assert.deepEqual(house.state.sandboxes.all().length, 1, "nothing of it was made");
  await assert.rejects(
    house.run("host", {}, { ...withPorts(port(8080)), ...HOST_NETWORK }),
    /taken by pod ns\/first/,
  );
  await house.sandboxes.stop(first);
  const second = await house.run("second", {}, { ...withPorts(port(8080)), ...HOST_NETWORK });
  await assert.rejects(house.run("third", {}, withPorts(port(8080))), /taken by pod ns\/second/);
  await house.sandboxes.remove(second);
  await house.run("third", {}, withPorts(port(8080)));
});

Deno.test("a failed pod gives its host ports back", async () => {
  await using house = new House();
  house.open = () => Promise.reject(new UnavailableError("no nft"));
  await assert.rejects(house.run("pod", {}, withPorts(port(8080))), /no nft/);
  assert.deepEqual(house.undone, ["host ports", "attachment"]);
  house.open = () => Promise.resolve();
  await house.run("other", {}, withPorts(port(8080)));
});

Deno.test("a pod that could not even be recorded gives its host ports back", async () => {
  await using house = new House();
  house.diskFull = true;
  await assert.rejects(house.run("pod", {}, withPorts(port(8080))), /disk is full/);
  house.diskFull = false;
  await house.run("pod", {}, withPorts(port(8080)));
});

Deno.test("a failed pod whose record cannot be deleted says why it failed, and its name is free", async () => {
  await using house = new House();
  house.attach = () => {
    house.diskFull = true;
    return Promise.reject(new UnavailableError("no network"));
  };
  await assert.rejects(house.run(), /no network/);
  house.diskFull = false;
  const left = house.state.sandboxes.all();
  assert.deepEqual(left.map(({ value }) => (value["state"] as { kind: string }).kind), [
    "creating",
  ]);
  house.attach = () => Promise.resolve(ATTACHED);
  const id = await house.run();
  assert.notEqual(id, left[0]?.id);
});

Deno.test("what a pod on the host's network leaves behind does not keep its host ports", async () => {
  await using house = new House();
  const pod = { ...withPorts(port(8080)), ...HOST_NETWORK };
  const id = await house.run("host", {}, pod);
  house.stuck = true;
  await house.sandboxes.remove(id);
  assert.notEqual((await house.state.journal.ofOwner(id)).length, 0, "its pin is tried again");
  house.hold = () => Promise.reject(new UnavailableError("no holder"));
  const shared = LinuxPodSandboxConfig.fromPartial({
    securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.POD } },
  });
  await assert.rejects(house.run("host", {}, { ...pod, linux: shared }), /no holder/);
  house.stuck = false;
  await house.run("other", {}, withPorts(port(8080)));
});

Deno.test("an attachment that is left keeps the host ports", async () => {
  await using house = new House();
  const id = await house.run("first", {}, withPorts(port(8080)));
  house.detach = () => Promise.reject(new UnavailableError("the plugin fails"));
  await house.sandboxes.remove(id);
  house.detach = () => Promise.resolve();
  await assert.rejects(house.run("second", {}, withPorts(port(8080))), /taken by pod ns\/first/);
});

Deno.test("a sandbox whose stop could not be recorded is still watched", async () => {
  await using house = new House();
  const id = await house.run();
  house.diskFull = true;
  await assert.rejects(house.sandboxes.stop(id), /disk is full/);
  assert.deepEqual([...house.watched], [id]);
  house.diskFull = false;
  await house.sandboxes.stop(id);
  assert.deepEqual([...house.watched], []);
});

Deno.test("the end of a pod is told once, whether it failed before its stop or not", async () => {
  for (const hasFailed of [false, true]) {
    await using house = new House();
    const id = await house.run();
    let ends = 0;
    house.registry.observe({
      sandboxCommitted: (change) => ends += sandboxEvents(change).length,
      containerCommitted: () => {},
    });
    if (hasFailed) house.registry.putSandbox(failed(house.registry.sandbox(id)!));
    await house.sandboxes.stop(id);
    assert.equal(house.registry.sandbox(id)?.state.kind, "stopped");
    assert.equal(ends, 1);
  }
});

Deno.test("a host port that a program of the host listens on is refused by its name", async () => {
  await using house = new House();
  await assert.rejects(
    house.run("pod", {}, withPorts(port(LISTENED))),
    /22\/tcp is taken by process 42 \(nginx\)/,
  );
  await house.run("elsewhere", {}, withPorts(port(23)));
  // It listens by itself, and says so if it cannot.
  await house.run("host", {}, { ...withPorts(port(LISTENED)), ...HOST_NETWORK });
});

const sharing = (pid: NamespaceMode) => ({
  linux: LinuxPodSandboxConfig.fromPartial({ securityContext: { namespaceOptions: { pid } } }),
});

Deno.test("only a pod that asks to share its PID namespace gets a process that holds it", async () => {
  await using house = new House();
  for (
    const [name, pid] of [["own", NamespaceMode.CONTAINER], ["host", NamespaceMode.NODE]] as const
  ) {
    await house.run(name, {}, sharing(pid));
  }
  await house.run("unsaid");
  assert.equal(house.held.size, 0);
  const id = await house.run("shared", {}, sharing(NamespaceMode.POD));
  assert.deepEqual([...house.held], [id]);
  const record = house.registry.sandbox(id);
  assert.deepEqual(record?.state, { kind: "ready", ips: ["10.0.0.2"], pidHolder: HOLDER });
  const { pid } = record!.namespaces;
  assert.ok(pid.kind === "pinned" && house.pinned.has(pid.path));
  await house.sandboxes.stop(id);
  assert.equal(house.held.size, 0);
  assert.ok(!house.pinned.has(pid.path));
});

Deno.test("a holder that does not start fails the pod, and nothing of either stays", async () => {
  await using house = new House();
  house.hold = () => Promise.reject(new FailedPreconditionError("no such program", {}));
  const options = sharing(NamespaceMode.POD);
  const error = await house.run("pod", {}, options).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof FailedPreconditionError, String(error));
  assert.equal(error.details.stage, "pid-holder");
  assert.deepEqual([...house.held], []);
  assert.deepEqual([...house.pinned], []);
  assert.deepEqual(await house.state.journal.owners(), []);
  house.hold = () => Promise.resolve(HOLDER);
  await house.run("pod", {}, options);
});

Deno.test("a node that cannot hold a PID namespace refuses the pod before anything is made", async () => {
  await using house = new House();
  house.hasHolder = false;
  await assert.rejects(house.run("pod", {}, sharing(NamespaceMode.POD)), FailedPreconditionError);
  assert.deepEqual([house.pinned.size, house.held.size], [0, 0]);
  await house.run("pod", {}, sharing(NamespaceMode.CONTAINER));
});
