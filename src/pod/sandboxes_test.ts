import assert from "node:assert/strict";
import { DeadlineExceededError, SauropodError } from "../errors/mod.ts";
import { SystemClock } from "../model/mod.ts";
import type { Attachment } from "../network/mod.ts";
import { PodSandboxConfig } from "../proto/mod.ts";
import { JournalStepRunner, PodState, ResourceTypes, Undoer } from "../state/mod.ts";
import { silentLogger } from "../telemetry/mod.ts";
import { PodLayout } from "./layout.ts";
import { KeyedMutex } from "./mutex.ts";
import { PodRegistry } from "./registry.ts";
import { PodResources } from "./resources.ts";
import { Sandboxes } from "./sandboxes.ts";

const ATTACHED: Attachment = { network: "net", ips: ["10.0.0.2"], result: {} };

/** Sandboxes over a real record and real step runner; what the kernel would do is only noted. */
class House implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync();
  readonly state = PodState.open({ path: `${this.directory}/pods.db`, bootId: "boot" });
  readonly pinned = new Set<string>();
  detached = 0;
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
      release: (pin: string) => Promise.resolve(void this.pinned.delete(pin)),
    };
    const resources = new PodResources({
      namespaces,
      mounts: { mountTmpfs: () => {}, unmountTree: () => Promise.resolve() },
      trees: {
        removeTree: (path) => Deno.remove(path, { recursive: true }).catch(() => {}),
      },
      cgroups: { missing: () => [], create: () => {}, removeEmpty: () => {} },
      defaultCgroupParent: "/pods",
    });
    const types = new ResourceTypes();
    for (const type of resources.types()) types.register(type);
    types.register({
      kind: "cni-attachment",
      parse: (payload) => payload,
      undo: () => Promise.resolve(void this.detached++),
    });
    const { journal, sandboxes, containers } = state;
    const undoer = new Undoer({ journal, types, bootId: "boot" });
    const runner = new JournalStepRunner({ journal, undoer, graceMs: 20 });
    this.registry = new PodRegistry({
      sandboxes,
      containers,
      mirror: { write: () => {}, forget: () => Promise.resolve() },
    });
    this.sandboxes = new Sandboxes({
      registry: this.registry,
      runner,
      rooms: {
        layout,
        namespaces,
        networks: { attach: (_chosen, _request, signal) => this.attach(signal) },
        resources,
        nodeFiles: { hosts: () => Promise.resolve(""), resolvConf: () => Promise.resolve("") },
        deadlines: {
          filesMs: 30_000,
          namespacesMs: 30_000,
          networkMs: 50,
          rootfsMs: 30_000,
          hostPathsMs: 30_000,
          startMs: 30_000,
          updateMs: 30_000,
        },
      },
      networks: { choose: () => ({ name: "net", configuration: {} }) },
      runtime: { resolveHandler: () => "runc" },
      members: { stopAll: () => Promise.resolve(), removeAll: () => Promise.resolve() },
      mutex: new KeyedMutex(),
      layout,
      settings: {
        defaultCgroupParent: "/pods",
        defaultSysctls: [],
        shmBytes: 1n,
        annotationRules: () => ({ allowed: [], defaults: {} }),
        nodeName: "node",
      },
      clock: new SystemClock(),
      bootId: "boot",
      log: silentLogger,
      assertSpace: () => {},
    });
  }

  run(name = "pod", labels: Record<string, string> = {}) {
    const config = PodSandboxConfig.fromPartial({
      metadata: { name, namespace: "ns", uid: "u" },
      labels,
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
  assert.equal(house.detached, 1, "half an attachment is taken away");
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
  assert.equal(house.detached, 1);
  await assert.rejects(house.run(), /no longer ready/);
  await house.sandboxes.remove(id);
  assert.notEqual(await house.run(), id);
});
