/**
 * Every method of the CRI, called in every way that a client can get wrong or that life can: the
 * answer is never UNKNOWN or INTERNAL but the code that the table says, and nothing is left of it.
 * A method that gets built is one row to change: its `later` goes.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  ImageServiceDefinition,
  NamespaceMode,
  RuntimeServiceDefinition,
} from "../../src/proto/mod.ts";
import { buildImage, busyboxImage, type TestImage } from "../integration/test_images.ts";
import {
  type CodeName,
  definitionOf,
  type MethodName,
  type RawCallOptions,
  RawCalls,
} from "../support/raw_calls.ts";
import type { ServerStart } from "../support/test_node.ts";
import { holdings } from "../support/residue.ts";
import { BenchContainer, eventually, onWorkbench, type Workbench } from "../support/workbench.ts";

type Codes = readonly CodeName[];
type Request = Readonly<Record<string, unknown>>;

/** What a call is made on; `fresh` is of nobody else's. */
interface World {
  readonly bench: Workbench;
  readonly pod: { readonly id: string; readonly config: unknown };
  readonly container: BenchContainer;
}

interface Row {
  readonly method: MethodName;
  /** A request that is right, on things of its own where it changes them. */
  readonly valid: (world: World) => Promise<Request> | Request;
  readonly empty: Codes;
  /** The same with another id; left out where a method takes none. */
  readonly named?: {
    readonly kind: "sandbox" | "container" | "image";
    readonly request: (id: string) => Request;
    readonly unknown: Codes;
    readonly ambiguous: Codes;
  } | undefined;
  /** Of the first call, OK unless said otherwise. */
  readonly first?: Codes;
  /** Of the same call made again, or at the same time; the first's unless said otherwise. */
  readonly again?: Codes;
  /** A stream that the client ends, here by a deadline. */
  readonly endless?: boolean;
}

const PREFIX_DIGITS = 3;
const UNKNOWN_ID = "f".repeat(64);
const REFUSED: Codes = ["INVALID_ARGUMENT"];
const OK: Codes = ["OK"];
const UNIMPLEMENTED: Codes = ["UNIMPLEMENTED"];

const plain = (method: MethodName, more: Partial<Row> = {}): Row => ({
  method,
  valid: () => ({}),
  empty: OK,
  ...more,
});
/** The ids that a method takes which is not built yet. */
const unbuilt = (
  kind: NonNullable<Row["named"]>["kind"],
  request: NonNullable<Row["named"]>["request"],
): Row["named"] => ({ kind, request, unknown: UNIMPLEMENTED, ambiguous: UNIMPLEMENTED });
/** Not built yet: says so, whatever the request is. Building it takes this off its row. */
const later = (row: Row): Row => ({
  ...row,
  empty: UNIMPLEMENTED,
  first: UNIMPLEMENTED,
  again: UNIMPLEMENTED,
  named: row.named && { ...row.named, unknown: UNIMPLEMENTED, ambiguous: UNIMPLEMENTED },
  endless: false,
});

const imageName = (image: string) => ({ image: { image } });
const sandboxId = (id: string) => ({ podSandboxId: id });
const containerId = (id: string) => ({ containerId: id });

const ROWS: readonly Row[] = [
  plain("version"),
  plain("status", { valid: () => ({ verbose: true }) }),
  plain("runtimeConfig"),
  plain("updateRuntimeConfig"),
  {
    method: "runPodSandbox",
    empty: REFUSED,
    valid: ({ bench }) => ({ config: hostPod(bench) }),
  },
  {
    method: "stopPodSandbox",
    empty: REFUSED,
    named: { kind: "sandbox", request: sandboxId, unknown: OK, ambiguous: REFUSED },
    valid: async ({ bench }) => sandboxId((await freshSandbox(bench)).id),
  },
  {
    method: "removePodSandbox",
    empty: REFUSED,
    named: { kind: "sandbox", request: sandboxId, unknown: OK, ambiguous: REFUSED },
    valid: async ({ bench }) => sandboxId((await freshSandbox(bench)).id),
  },
  {
    method: "podSandboxStatus",
    empty: REFUSED,
    named: { kind: "sandbox", request: sandboxId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: ({ pod }) => ({ podSandboxId: pod.id, verbose: true }),
  },
  ...(["listPodSandbox", "streamPodSandboxes"] as const).map((method) =>
    plain(method, {
      named: {
        kind: "sandbox",
        request: (id) => ({ filter: { id } }),
        unknown: OK,
        ambiguous: OK,
      },
    })
  ),
  {
    method: "createContainer",
    empty: REFUSED,
    named: {
      kind: "sandbox",
      request: (id) => ({
        podSandboxId: id,
        config: { metadata: { name: "x" }, image: { image: "x" } },
      }),
      unknown: ["NOT_FOUND"],
      ambiguous: REFUSED,
    },
    valid: ({ bench, pod }) => ({
      podSandboxId: pod.id,
      config: bench.containerConfig({ container: { metadata: { name: freshName() } } }),
      sandboxConfig: pod.config,
    }),
  },
  {
    method: "startContainer",
    empty: REFUSED,
    named: { kind: "container", request: containerId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: async (world) => containerId((await freshContainer(world)).id),
    again: ["OK", "FAILED_PRECONDITION"],
  },
  {
    method: "stopContainer",
    empty: REFUSED,
    named: { kind: "container", request: containerId, unknown: OK, ambiguous: REFUSED },
    valid: async (world) => ({ containerId: (await freshRunning(world)).id, timeout: 20n }),
  },
  {
    method: "removeContainer",
    empty: REFUSED,
    named: { kind: "container", request: containerId, unknown: OK, ambiguous: REFUSED },
    valid: async (world) => containerId((await freshContainer(world)).id),
  },
  {
    method: "containerStatus",
    empty: REFUSED,
    named: { kind: "container", request: containerId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: ({ container }) => ({ containerId: container.id, verbose: true }),
  },
  ...(["listContainers", "streamContainers"] as const).map((method) =>
    plain(method, {
      named: {
        kind: "container",
        request: (id) => ({ filter: { id } }),
        unknown: OK,
        ambiguous: OK,
      },
    })
  ),
  {
    method: "execSync",
    empty: REFUSED,
    named: {
      kind: "container",
      request: (id) => ({ containerId: id, cmd: ["true"] }),
      unknown: ["NOT_FOUND"],
      ambiguous: REFUSED,
    },
    valid: ({ container }) => ({ containerId: container.id, cmd: ["/bin/true"], timeout: 60n }),
  },
  {
    method: "updateContainerResources",
    empty: REFUSED,
    named: {
      kind: "container",
      request: (id) => ({ containerId: id, linux: { cpuShares: 512n } }),
      unknown: ["NOT_FOUND"],
      ambiguous: REFUSED,
    },
    valid: ({ container }) => ({ containerId: container.id, linux: { cpuShares: 512n } }),
  },
  {
    method: "reopenContainerLog",
    empty: REFUSED,
    named: { kind: "container", request: containerId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: ({ container }) => containerId(container.id),
  },
  ...(["listImages", "streamImages"] as const).map((method) =>
    plain(method, {
      named: {
        kind: "image",
        request: (image) => ({ filter: { image: { image } } }),
        unknown: OK,
        ambiguous: REFUSED,
      },
    })
  ),
  plain("imageFsInfo"),
  {
    method: "imageStatus",
    empty: REFUSED,
    named: { kind: "image", request: imageName, unknown: OK, ambiguous: REFUSED },
    valid: ({ bench }) => ({ image: { image: bench.image() }, verbose: true }),
  },
  {
    method: "pullImage",
    empty: REFUSED,
    // What is pulled has a name. An id is none; the beginning of one is a name without a registry.
    named: {
      kind: "image",
      request: imageName,
      unknown: REFUSED,
      ambiguous: ["FAILED_PRECONDITION"],
    },
    valid: ({ bench }) => ({ image: { image: bench.image() } }),
  },
  {
    method: "removeImage",
    empty: REFUSED,
    named: { kind: "image", request: imageName, unknown: OK, ambiguous: REFUSED },
    // The other one is what every container here stands on.
    valid: ({ bench }) => ({ image: { image: bench.image("spare") } }),
  },
  {
    method: "updatePodSandboxResources",
    empty: REFUSED,
    named: { kind: "sandbox", request: sandboxId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: ({ pod }) => ({ podSandboxId: pod.id, resources: { cpuShares: 512n } }),
  },
  {
    method: "exec",
    empty: REFUSED,
    named: {
      kind: "container",
      request: (id) => ({ containerId: id, cmd: ["true"], stdout: true }),
      unknown: ["NOT_FOUND"],
      ambiguous: REFUSED,
    },
    valid: ({ container }) => ({ containerId: container.id, cmd: ["/bin/true"], stdout: true }),
  },
  {
    method: "attach",
    empty: REFUSED,
    named: {
      kind: "container",
      request: (id) => ({ containerId: id, stdout: true }),
      unknown: ["NOT_FOUND"],
      ambiguous: REFUSED,
    },
    valid: ({ container }) => ({ containerId: container.id, stdout: true }),
  },
  {
    method: "portForward",
    empty: REFUSED,
    named: { kind: "sandbox", request: sandboxId, unknown: ["NOT_FOUND"], ambiguous: REFUSED },
    valid: ({ pod }) => ({ podSandboxId: pod.id, port: [80] }),
  },
  plain("getContainerEvents", {
    empty: ["DEADLINE_EXCEEDED"],
    first: ["DEADLINE_EXCEEDED"],
    endless: true,
  }),
  later(plain("containerStats", { named: unbuilt("container", containerId) })),
  ...(["listContainerStats", "streamContainerStats"] as const).map((method) =>
    later(plain(method, { named: unbuilt("container", (id) => ({ filter: { id } })) }))
  ),
  later(plain("podSandboxStats", { named: unbuilt("sandbox", sandboxId) })),
  ...(["listPodSandboxStats", "streamPodSandboxStats"] as const).map((method) =>
    later(plain(method, { named: unbuilt("sandbox", (id) => ({ filter: { id } })) }))
  ),
  later(plain("listMetricDescriptors")),
  later(plain("listPodSandboxMetrics")),
  later(plain("streamPodSandboxMetrics")),
  later(plain("checkpointContainer", { named: unbuilt("container", containerId) })),
  later(plain("checkpointPod", { named: unbuilt("sandbox", sandboxId) })),
  later(plain("restorePod")),
];

/** `GetContainerEvents` goes on, instead of ending at once. */
const EVENTS: ServerStart = { env: { ENABLE_POD_EVENTS: "true" } };

/** Two images whose ids begin with the same three digits, the fewest that name one. */
const [ONE, OTHER] = twins();

const test = onWorkbench({
  images: {
    spare: () => busyboxImage({ config: { Cmd: ["/bin/ls"] } }),
    one: () => ONE,
    other: () => OTHER,
  },
  start: EVENTS,
});

Deno.test("the matrix has a row for every method of both services", () => {
  const all = [RuntimeServiceDefinition, ImageServiceDefinition]
    .flatMap(({ methods }) => Object.keys(methods));
  assert.deepEqual(ROWS.map(({ method }) => method).sort(), all.sort());
  const naming = ["podSandboxId", "containerId", "filter", "image"];
  for (const { method, named } of ROWS) {
    const fields = Object.keys(definitionOf(method).request.fromPartial({}) as object);
    const names = fields.some((field) => naming.includes(field));
    assert.equal(named !== undefined, names, `${method} has ${fields}`);
  }
});

test("every method answers every kind of call with the code of the table, and leaves nothing", async (bench) => {
  await warmUp(bench);
  const before = holdings(bench.server.pid);
  using calls = new RawCalls(bench.node.socket);
  const world = await makeWorld(bench);
  const prefix = {
    sandbox: await ambiguous(async () => (await freshSandbox(bench)).id),
    container: await ambiguous(async () => (await freshContainer(world)).id),
    image: ONE.id.slice(0, PREFIX_DIGITS),
  };
  for (const row of ROWS) {
    const { method, empty, named, first = OK, again = first } = row;
    const call = (request: Request, options: RawCallOptions = patience(row)) =>
      calls.make(method, request, options);
    const expect = async (cell: string, answer: Promise<CodeName>, codes: Codes) => {
      const code = await answer;
      assert.ok(codes.includes(code), `${method}, ${cell}: ${calls.last}, expected ${codes}`);
    };
    await expect("an empty request", call({}), empty);
    if (named !== undefined) {
      const { request, kind, unknown } = named;
      await expect("an unknown id", call(request(UNKNOWN_ID)), unknown);
      await expect(
        "a prefix of two ids",
        call(request(prefix[kind])),
        named.ambiguous,
      );
    }
    const given: Request = await row.valid(world);
    await expect("a cancelled call", call(given, { cancel: true }), [
      ...first,
      "CANCELLED",
    ]);
    await expect("a call after the cancelled one", call(given), [...first, ...again]);
    const hurried: Request = await row.valid(world);
    await expect("a deadline of 1 ms", call(hurried, { timeoutMs: 1 }), [
      ...first,
      "DEADLINE_EXCEEDED",
    ]);
    await expect("a call after the hurried one", call(hurried), [...first, ...again]);
    const shared: Request = await row.valid(world);
    const both = await Promise.all([call(shared), call(shared)]);
    const fits = both.some((code) => first.includes(code)) &&
      both.every((code) => [...first, ...again].includes(code));
    assert.ok(fits, `${method}, twice at the same time: ${both}, ${calls.last}`);
    const repeated: Request = await row.valid(world);
    await expect("the first of ten calls", call(repeated), first);
    for (let round = 2; round <= 10; round++) {
      await expect(`call ${round} of ten`, call(repeated), again);
    }
  }
  await bench.clear();
  assert.deepEqual(await bench.node.residue(), []);
  await eventually("the server holds no more than before", () => {
    const now = holdings(bench.server.pid);
    return now.descriptors <= before.descriptors && now.children.length <= before.children.length
      ? true
      : undefined;
  }).catch((error) => {
    throw new Error(
      `before: ${Deno.inspect(before)}, now: ${Deno.inspect(holdings(bench.server.pid))}`,
      { cause: error },
    );
  });
});

test("every method answers after kill -9 as it did before", async (bench) => {
  const world = await makeWorld(bench);
  const prepared: [Row, Request][] = [];
  for (const row of ROWS) prepared.push([row, await row.valid(world)]);
  await bench.restart("kill", { start: EVENTS });
  using calls = new RawCalls(bench.node.socket);
  for (const [row, request] of prepared) {
    const { method, first = OK } = row;
    const code = await calls.make(method, request, patience(row));
    assert.ok(first.includes(code), `${method} after a restart: ${calls.last}`);
  }
});

function patience({ endless = false }: Row): RawCallOptions {
  return { timeoutMs: endless ? 500 : 120_000 };
}

let serial = 0;

function freshName(): string {
  return `matrix${serial++}`;
}

/** On the node's network, which is quick to make. */
function hostPod(bench: Workbench): ReturnType<Workbench["sandboxConfig"]> {
  return bench.sandboxConfig({
    name: freshName(),
    pod: {
      linux: {
        securityContext: {
          namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER },
        },
      },
    },
  });
}

async function freshSandbox(bench: Workbench): Promise<{ readonly id: string }> {
  const { podSandboxId } = await bench.runtime.runPodSandbox({ config: hostPod(bench) });
  return { id: podSandboxId };
}

async function freshContainer({ bench, pod }: World): Promise<BenchContainer> {
  const { containerId } = await bench.runtime.createContainer({
    podSandboxId: pod.id,
    config: bench.containerConfig({ container: { metadata: { name: freshName() } } }),
    sandboxConfig: pod.config as never,
  });
  return new BenchContainer(bench, containerId, pod.id);
}

async function freshRunning(world: World): Promise<BenchContainer> {
  const container = await freshContainer(world);
  await world.bench.runtime.startContainer({ containerId: container.id });
  return container;
}

async function makeWorld(bench: Workbench): Promise<World> {
  const config = hostPod(bench);
  const { podSandboxId: id } = await bench.runtime.runPodSandbox({ config });
  const pod = { id, config };
  const container = await freshRunning({ bench, pod } as World);
  return { bench, pod, container };
}

/** About eighty attempts, of a configuration each. */
function twins(): readonly [TestImage, TestImage] {
  const byPrefix = new Map<string, TestImage>();
  for (let n = 0;; n++) {
    const image = buildImage({
      layers: [[{ path: "file", content: "" }]],
      config: { Labels: { n: String(n) } },
    });
    const prefix = image.id.slice(0, PREFIX_DIGITS);
    const other = byPrefix.get(prefix);
    if (other !== undefined) return [other, image];
    byPrefix.set(prefix, image);
  }
}

/** Makes things until the ids of two begin with the same digit: seventeen at the most. */
async function ambiguous(make: () => Promise<string>): Promise<string> {
  const seen = new Set<string>();
  for (;;) {
    const digit = (await make()).slice(0, 1);
    if (seen.has(digit)) return digit;
    seen.add(digit);
  }
}

/** One life of everything, so that what the server opens once is open. */
async function warmUp(bench: Workbench): Promise<void> {
  const { container } = await makeWorld(bench);
  await container.sh("true");
  await bench.clear();
}
