/**
 * Mutated requests of every method against a running server, and uses of the URLs that it gives: it
 * neither ends nor keeps anything of them, and never answers UNKNOWN or INTERNAL.
 * `SAUROPOD_FUZZ_SECONDS` says how long, 20 by default, and `SAUROPOD_FUZZ_SEED` with which numbers.
 *
 * @module
 */
import assert from "node:assert/strict";
import {
  CreateContainerRequest,
  ExecResponse,
  NamespaceMode,
  RunPodSandboxRequest,
} from "../../src/proto/mod.ts";
import { definitionOf, type MethodName, METHODS, RawCalls } from "../support/raw_calls.ts";
import { holdings } from "../support/residue.ts";
import type { TestNode } from "../support/test_node.ts";
import { WAITING } from "../support/pods.ts";
import { eventually, onWorkbench, type Workbench } from "../support/workbench.ts";
import { busyboxImage } from "../integration/test_images.ts";
import { mutateBytes, mutateMessage, Random } from "./mutation.ts";
import { ECHO_PORT, type StreamMethod, useUrl } from "./stream_use.ts";

const SECONDS = Number(Deno.env.get("SAUROPOD_FUZZ_SECONDS") ?? 20);
const SEED = Number(Deno.env.get("SAUROPOD_FUZZ_SEED") ?? 10);
/** Calls at the same time. */
const LANES = 6;
/** Calls between two looks at what has been made. */
const BATCH = 60;
/** A caller gives up then; the work goes on, as it does for a kubelet. */
const TIMEOUT_MS = 10_000;
/** An open stream of events ends by it. */
const STREAM_TIMEOUT_MS = 500;
/** Heap that the collector has not looked at yet, and fragmentation; a leak passes it in minutes. */
const GROWTH_BYTES = 192 * 1024 * 1024;

interface Targets {
  readonly sandbox: string;
  /** Runs. */
  readonly container: string;
  /** Was not started. */
  readonly created: string;
}

/** Requests that are right, so that what is changed in them gets far. */
function seed(
  method: MethodName,
  bench: Workbench,
  { sandbox, container, created }: Targets,
): unknown {
  const { node } = bench;
  switch (method) {
    case "runPodSandbox":
      return { config: podConfig(bench) };
    case "createContainer":
      return {
        podSandboxId: sandbox,
        sandboxConfig: podConfig(bench),
        config: {
          metadata: { name: "main", attempt: 1 },
          image: { image: bench.image() },
          command: ["/bin/true"],
          args: ["a", "b"],
          workingDir: "/work",
          envs: [{ key: "A", value: new TextEncoder().encode("b") }],
          mounts: [{ containerPath: "/data", hostPath: `${node.directory}/data` }],
          devices: [{ containerPath: "/dev/x", hostPath: "/dev/null", permissions: "rwm" }],
          labels: { app: "web" },
          annotations: { "umask.crio.io": "027" },
          logPath: "main.log",
          linux: {
            resources: { cpuShares: 100n, memoryLimitInBytes: 1n << 28n, cpusetCpus: "0" },
            securityContext: {
              capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["CHOWN"] },
              namespaceOptions: { pid: NamespaceMode.CONTAINER },
              runAsUser: { value: 1000n },
              supplementalGroups: [1n, 2n],
              maskedPaths: ["/proc/kcore"],
              readonlyPaths: ["/proc/sys"],
              seccomp: { profileType: 0 },
            },
          },
        },
      };
    case "execSync":
    case "exec":
      return {
        containerId: container,
        cmd: ["/bin/sh", "-c", "echo x; read -t 5 y; echo $y >&2"],
        timeout: 5n,
        stdin: true,
        stdout: true,
        stderr: true,
      };
    case "attach":
      return { containerId: container, stdin: true, stdout: true, stderr: true };
    case "portForward":
      return { podSandboxId: sandbox, port: [ECHO_PORT, ECHO_PORT + 1] };
    case "startContainer":
    case "removeContainer":
      return { containerId: created };
    case "stopContainer":
      return { containerId: container, timeout: 1n };
    case "updateContainerResources":
      return { containerId: container, linux: { cpuShares: 512n, cpusetCpus: "0" } };
    case "updatePodSandboxResources":
      return { podSandboxId: sandbox, resources: { cpuShares: 512n } };
    case "listContainers":
    case "streamContainers":
      return {
        filter: {
          id: container,
          podSandboxId: sandbox,
          state: { state: 1 },
          labelSelector: { a: "b" },
        },
      };
    case "listPodSandbox":
    case "streamPodSandboxes":
      return { filter: { id: sandbox, state: { state: 0 }, labelSelector: { a: "b" } } };
    case "imageStatus":
    case "removeImage":
      return { image: { image: bench.image("spare") }, verbose: true };
    case "pullImage":
      return {
        image: { image: bench.image("spare") },
        auth: { username: "u", password: "p", serverAddress: "example.com" },
      };
    case "listImages":
    case "streamImages":
      return { filter: { image: { image: bench.image() } } };
    case "updateRuntimeConfig":
      return { runtimeConfig: { networkConfig: { podCidr: "10.1.0.0/16" } } };
    default:
      return { podSandboxId: sandbox, containerId: container, verbose: true };
  }
}

function podConfig(bench: Workbench): Record<string, unknown> {
  const base = bench.sandboxConfig({ name: "fuzz" });
  return {
    ...base,
    hostname: "pod",
    dnsConfig: { servers: ["10.0.0.10"], searches: ["svc.local"], options: ["ndots:5"] },
    portMappings: [{ protocol: 0, containerPort: 80, hostPort: 0 }],
    labels: { app: "web" },
    annotations: { "shm-size.crio.io": "64Mi" },
    linux: {
      ...base.linux,
      sysctls: { "net.core.somaxconn": "1024" },
      securityContext: {
        namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER },
        supplementalGroups: [1n],
      },
    },
  };
}

/**
 * The request that may be sent: one that decodes must not name a path of the machine outside of the
 * test's own, for it is served by root.
 */
function tame(method: MethodName, bytes: Uint8Array, node: TestNode): Uint8Array {
  try {
    if (method === "runPodSandbox") {
      const request = RunPodSandboxRequest.decode(bytes);
      if (request.config === undefined) return bytes;
      tamePod(request.config, node);
      return RunPodSandboxRequest.encode(request).finish();
    }
    if (method === "createContainer") {
      const request = CreateContainerRequest.decode(bytes);
      for (const mount of request.config?.mounts ?? []) {
        if (!below(mount.hostPath, node.directory)) mount.hostPath = `${node.directory}/data`;
      }
      for (const device of request.config?.devices ?? []) {
        if (device.hostPath.startsWith("/")) device.hostPath = "/dev/null";
      }
      return CreateContainerRequest.encode(request).finish();
    }
  } catch {
    // It does not decode, and so does nothing.
  }
  return bytes;
}

function tamePod(
  config: NonNullable<RunPodSandboxRequest["config"]>,
  node: TestNode,
): void {
  if (!below(config.logDirectory, node.logDir)) config.logDirectory = `${node.logDir}/fuzz`;
  for (const mapping of config.portMappings) mapping.hostPort = 0;
  config.linux ??= {
    cgroupParent: "",
    securityContext: undefined,
    sysctls: {},
    overhead: undefined,
    resources: undefined,
  };
  if (!below(config.linux.cgroupParent, node.cgroupParent)) {
    config.linux.cgroupParent = `${node.cgroupParent}/fuzz`;
  }
}

function below(path: string, base: string): boolean {
  return path.startsWith(`${base}/`);
}

const test = onWorkbench({
  images: { spare: () => busyboxImage({ config: { Cmd: ["/bin/ls"] } }) },
  start: { env: { ENABLE_POD_EVENTS: "true" } },
});

test(`mutated requests of every method for ${SECONDS} s do no harm`, async (bench) => {
  const { node } = bench;
  const random = new Random(SEED);
  await Deno.mkdir(`${node.directory}/data`);
  using calls = new RawCalls(node.socket);
  const codes = new Map<string, number>();
  /** Answers that must not be, each with one request that got it. */
  const faults = new Map<string, string>();
  let sent = 0;
  /** Statuses of the answers at the URLs that were given. */
  const uses = new Map<string, number>();
  const use = async (method: StreamMethod, answer: Uint8Array) => {
    const { url } = ExecResponse.decode(answer);
    // Mostly once, as it is meant; twice at the same time at most once succeeds.
    const times = random.below(6) === 0 ? 2 : 1;
    const statuses = await Promise.all(
      Array.from({ length: times }, () => useUrl(url, method, random)),
    );
    for (const status of statuses) count(uses, status);
    assert.ok(statuses.filter((status) => status === "101").length < 2, `${url} was good twice`);
  };
  const batch = async (size: number) => {
    const targets = await makeTargets(bench);
    const requests = METHODS.map((method) => {
      const { request } = definitionOf(method);
      const message = request.fromPartial(seed(method, bench, targets));
      const original = request.encode(message).finish();
      // Changed bytes seldom decode; changed values reach what is behind the decoding.
      const mutate = () => {
        if (random.below(3) === 0) return mutateBytes(original, random);
        try {
          return request.encode(mutateMessage(message, random)).finish();
        } catch {
          // A number that the field cannot hold, negative where it has no sign.
          return mutateBytes(original, random);
        }
      };
      return { method, mutate };
    });
    const lane = async () => {
      while (size-- > 0) {
        const { method, mutate } = random.pick(requests);
        const mutated = tame(method, mutate(), node);
        const timeoutMs = method === "getContainerEvents" ? STREAM_TIMEOUT_MS : TIMEOUT_MS;
        let answer = new Uint8Array(0);
        try {
          const onMessage = (bytes: Uint8Array) => void (answer = new Uint8Array(bytes));
          const code = await calls.send(method, mutated, { timeoutMs, onMessage });
          count(codes, code);
          sent++;
          if (code === "OK" && isStreaming(method)) await use(method, answer);
        } catch (error) {
          const hex = [...mutated].map((byte) => byte.toString(16).padStart(2, "0")).join("");
          const what = String(error).replaceAll(/[0-9a-f]{12,}/g, "ID").slice(0, 200);
          // The run goes on, so that ten minutes find more than the first.
          if (faults.has(what)) continue;
          faults.set(what, `${error}; request: ${hex}`);
          console.error(faults.get(what));
        }
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    await bench.clear();
  };
  // One batch, so that what the server opens and compiles once is there.
  await batch(BATCH);
  await leaveNothing(bench);
  const before = holdings(bench.server.pid);
  const started = performance.now();
  const within = (ms: number) => performance.now() < started + ms;
  // On a slow machine it goes on until there was something of each.
  const seen = () => uses.has("101") && uses.size > 1 && codes.size > 3 && codes.has("OK");
  for (let minute = 1; within(SECONDS * 1_000) || (!seen() && within(SECONDS * 10_000));) {
    await batch(BATCH);
    if (within(minute * 60_000)) continue;
    const { descriptors, residentBytes } = holdings(bench.server.pid);
    const resident = (residentBytes / 2 ** 20).toFixed(0);
    console.log(`minute ${minute++}: ${resident} MiB, ${descriptors} descriptors, ${sent} calls`);
  }
  const result = `${sent} calls, ${Deno.inspect(codes)}, uses of URLs ${Deno.inspect(uses)}`;
  if (SECONDS > 60) console.log(result, before, holdings(bench.server.pid));
  assert.deepEqual([...faults.values()], [], `with seed ${SEED}`);
  assert.ok(sent > 0 && seen(), result);
  await leaveNothing(bench);
  await eventually(`the server holds no more than before: ${Deno.inspect(before)}`, () => {
    const now = holdings(bench.server.pid);
    return now.descriptors <= before.descriptors &&
        now.children.length <= before.children.length
      ? true
      : undefined;
  });
  const grown = holdings(bench.server.pid).residentBytes - before.residentBytes;
  assert.ok(grown < GROWTH_BYTES, `${grown} bytes more are resident after ${result}`);
});

function isStreaming(method: MethodName): method is StreamMethod {
  return method === "exec" || method === "attach" || method === "portForward";
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

async function makeTargets(bench: Workbench): Promise<Targets> {
  await bench.client.images.pullImage({ image: { image: bench.image() } });
  // On a network of its own: whatever port is forwarded is not the machine's.
  const sandbox = await bench.sandbox();
  const container = await bench.created(sandbox, {
    script: `nc -ll -p ${ECHO_PORT} -e /bin/cat & ${WAITING}`,
    container: { stdin: true },
  });
  await bench.runtime.startContainer({ containerId: container.id });
  const created = await bench.created(sandbox, { container: { metadata: { name: "created" } } });
  return { sandbox: sandbox.id, container: container.id, created: created.id };
}

/** Pods that callers gave up on may still be on their way, so this asks again. */
async function leaveNothing(bench: Workbench): Promise<void> {
  await eventually("nothing is left", async () => {
    await bench.clear();
    return (await bench.node.residue()).length === 0 ? true : undefined;
  }, 120_000);
}
