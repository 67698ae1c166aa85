import assert from "node:assert/strict";
import { validatePorts } from "./streaming_methods.ts";
import { SauropodError } from "../errors/mod.ts";
import {
  ContainerConfig,
  type DeepPartial,
  LinuxContainerResources,
  NamespaceMode,
  PodSandboxConfig,
  UpdateContainerResourcesRequest,
} from "../proto/mod.ts";
import { Admission } from "./admission.ts";
import {
  DECODED_NUMBERS_LIMIT,
  EXEC_OUTPUT_LIMIT_BYTES,
  type Limit,
  LIMITS,
  RECEIVE_LIMIT_BYTES,
  SEND_LIMIT_BYTES,
} from "./limits.ts";
import { validateArguments, validateContainerConfig } from "./validate_container.ts";
import {
  validateAuth,
  validateContainerFilter,
  validateId,
  validateImageSpec,
  validateSandboxFilter,
} from "./validate_references.ts";
import { validateResources, validateUpdateContainerResources } from "./validate_resources.ts";
import { validateSandboxConfig } from "./validate_sandbox.ts";

/** Does what is limited, `size` large. */
type Attempt = (size: number) => void;

const x = (count: number) => "x".repeat(Math.max(0, count));
/** Absolute, of short names. */
const path = (size: number) => `${"/x".repeat(size >> 1)}${size % 2 === 0 ? "" : "x"}`;
const list = <T>(count: number, entry: T): T[] => Array(count).fill(entry);
const map = (count: number, value = "") =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k.n${index}`, value]));

function sandbox(change: DeepPartial<PodSandboxConfig>): void {
  validateSandboxConfig(
    "config",
    PodSandboxConfig.fromPartial({
      metadata: { name: "a", namespace: "b", uid: "c" },
      ...change,
    }),
  );
}

function container(change: DeepPartial<ContainerConfig>): void {
  validateContainerConfig(
    "config",
    ContainerConfig.fromPartial({ metadata: { name: "a" }, image: { image: "b" }, ...change }),
  );
}

function security(change: Record<string, unknown>): void {
  container({ linux: { securityContext: change } });
}

/** Of a container, of a pod and of both updates: each has the same limits. */
function resources(change: DeepPartial<LinuxContainerResources>): void {
  const whole = LinuxContainerResources.fromPartial(change);
  validateResources("linux.resources", whole);
  update({ linux: whole });
}

function update(change: DeepPartial<UpdateContainerResourcesRequest>): void {
  validateUpdateContainerResources(
    UpdateContainerResourcesRequest.fromPartial({ containerId: "a", ...change }),
  );
}

/** Few and long arguments that make `size` bytes. */
function argumentsOf(size: number): string[] {
  const each = 100_000;
  const whole = Math.floor(size / each);
  return [...list(whole, x(each)), x(size - whole * each)];
}

/** The same as variables: a key of one byte, and a value. */
function variablesOf(size: number): { readonly key: string; readonly value: Uint8Array }[] {
  return argumentsOf(size).map((text) => ({
    key: text.slice(0, 1),
    value: new TextEncoder().encode(text.slice(1)),
  }));
}

const FILTER = { id: "", state: undefined, podSandboxId: "" };
const AUTH = { username: "", password: "", serverAddress: "", identityToken: "" };

const ATTEMPTS: Readonly<Record<keyof typeof LIMITS, readonly Attempt[]>> = {
  calls: [(size) => admit(size, (index) => index)],
  callsPerConnection: [(size) => admit(size, () => 1)],
  id: [
    (size) => void validateId("container_id", x(size)),
    (size) => validateContainerFilter({ ...FILTER, id: x(size), labelSelector: {} }),
    (size) => validateContainerFilter({ ...FILTER, podSandboxId: x(size), labelSelector: {} }),
    (size) => validateSandboxFilter({ id: x(size), state: undefined, labelSelector: {} }),
    (size) => security({ namespaceOptions: { pid: NamespaceMode.TARGET, targetId: x(size) } }),
  ],
  name: [
    (size) => sandbox({ metadata: { name: x(size), namespace: "b", uid: "c" } }),
    (size) => container({ metadata: { name: x(size) } }),
    (size) => void validateImageSpec("image", { ...spec("a"), runtimeHandler: x(size) }),
  ],
  hostname: [(size) => sandbox({ hostname: x(size) })],
  path: [
    (size) => sandbox({ logDirectory: path(size) }),
    (size) => container({ workingDir: path(size) }),
    (size) => container({ logPath: path(size).slice(1) + "x" }),
    (size) => container({ mounts: [{ containerPath: "/a", hostPath: path(size) }] }),
  ],
  pathName: [
    (size) => sandbox({ linux: { cgroupParent: `/a/${x(size)}/b` } }),
    (size) => container({ workingDir: `/${"é".repeat(size >> 1)}${x(size % 2)}` }),
    (size) => container({ logPath: x(size) }),
  ],
  label: [
    (size) => sandbox({ labels: { a: x(size - 1) } }),
    (size) => container({ labels: { a: "é".repeat((size - 1) >> 1) + x((size - 1) % 2) } }),
  ],
  labels: [(size) => sandbox({ labels: map(size) }), (size) => container({ labels: map(size) })],
  annotations: [
    (size) => sandbox({ annotations: map(size) }),
    (size) => container({ annotations: map(size) }),
    (size) => update({ annotations: map(size) }),
    (size) => container({ image: { image: "a", annotations: map(size) } }),
  ],
  annotationBytes: [
    (size) => sandbox({ annotations: { a: x(size - 1) } }),
    (size) => container({ annotations: { a: "é".repeat((size - 1) >> 1) + x((size - 1) % 2) } }),
    (size) => update({ annotations: { a: x(size - 1) } }),
    (size) => container({ image: { image: "a", annotations: { a: x(size - 1) } } }),
  ],
  argument: [
    (size) => container({ args: [x(size)] }),
    (size) => container({ envs: [{ key: "A", value: new Uint8Array(size - 2).fill(65) }] }),
  ],
  argumentBytes: [
    (size) => validateArguments("cmd", argumentsOf(size)),
    (size) => container({ envs: variablesOf(size) }),
    (size) =>
      container({
        args: [...list(63, "é".repeat(49_000)), x(size - 63 * 98_000 - 40_000), x(40_000)],
      }),
    // None of the three is too much by itself.
    (size) =>
      container({
        command: argumentsOf(2_000_000),
        args: argumentsOf(2_000_000),
        envs: variablesOf(size - 4_000_000),
      }),
  ],
  argumentCount: [
    (size) => container({ args: list(size, "") }),
    (size) => container({ envs: list(size, { key: "A" }) }),
  ],
  mounts: [(size) => container({ mounts: list(size, { containerPath: "/a", hostPath: "/b" }) })],
  mountOptions: [
    (size) =>
      container({
        mounts: [{ containerPath: "/a", hostPath: "/b", mountOptions: list(size, "nodev") }],
      }),
  ],
  idMappings: (["uidMappings", "gidMappings"] as const).map((field) => (size) =>
    container({
      mounts: [{ containerPath: "/a", hostPath: "/b", [field]: list(size, { length: 1 }) }],
    })
  ),
  devices: [
    (size) => container({ devices: list(size, { hostPath: "/dev/a", permissions: "r" }) }),
    (size) => container({ CDIDevices: list(size, { name: "a" }) }),
  ],
  portMappings: [(size) => sandbox({ portMappings: list(size, { containerPort: 80 }) })],
  forwardedPorts: [(size) => validatePorts(list(size, 80))],
  dnsEntries: [
    (size) => sandbox({ dnsConfig: { searches: list(size, "a") } }),
    (size) => sandbox({ dnsConfig: { options: list(size, "a") } }),
    (size) => sandbox({ dnsConfig: { servers: list(size, "10.0.0.1") } }),
  ],
  dnsEntry: [
    (size) => sandbox({ dnsConfig: { searches: [x(size)] } }),
    (size) => sandbox({ dnsConfig: { options: [x(size)] } }),
  ],
  sysctls: [(size) => sandbox({ linux: { sysctls: map(size) } })],
  sysctl: [(size) => sandbox({ linux: { sysctls: { "net.x": x(size) } } })],
  unified: [(size) => resources({ unified: map(size) })],
  unifiedValue: [(size) => resources({ unified: { a: x(size - 1) } })],
  capabilities: (["addCapabilities", "dropCapabilities", "addAmbientCapabilities"] as const)
    .map((field) => (size) => security({ capabilities: { [field]: list(size, "NET_ADMIN") } })),
  groups: [
    (size) => security({ supplementalGroups: list(size, 1n) }),
    (size) => sandbox({ linux: { securityContext: { supplementalGroups: list(size, 1n) } } }),
  ],
  maskedPaths: [
    (size) => security({ maskedPaths: list(size, "/a") }),
    (size) => security({ readonlyPaths: list(size, "/a") }),
  ],
  hugepageLimits: [(size) => resources({ hugepageLimits: list(size, { pageSize: "2MB" }) })],
  imageReference: [
    (size) => void validateImageSpec("image", spec(x(size))),
    (size) => void validateImageSpec("image", { ...spec("a"), userSpecifiedImage: x(size) }),
    (size) => void validateImageSpec("image", { ...spec("a"), imageRef: x(size) }),
  ],
  credential: ([
    "auth",
    "identityToken",
    "password",
    "registryToken",
    "serverAddress",
    "username",
  ] as const)
    .map((field) => (size) =>
      validateAuth("auth", { ...AUTH, auth: "", registryToken: "", [field]: x(size) })
    ),
  userName: [(size) => security({ runAsUsername: x(size) })],
  cpuset: [
    (size) => resources({ cpusetCpus: cpuList(size) }),
    (size) => resources({ cpusetMems: cpuList(size) }),
  ],
  filterLabels: [
    (size) => validateContainerFilter({ ...FILTER, labelSelector: map(size) }),
    (size) => validateSandboxFilter({ id: "", state: undefined, labelSelector: map(size) }),
  ],
};

function spec(image: string): NonNullable<Parameters<typeof validateImageSpec>[1]> {
  return { image, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
}

/** `1,1,...` with a last number that fills it up. */
function cpuList(size: number): string {
  const pairs = "1,".repeat((size - 2) >> 1);
  return pairs + "1".repeat(size - pairs.length);
}

function admit(size: number, connectionOf: (index: number) => number): void {
  const admission = new Admission();
  for (let index = 0; index < size; index++) admission.enter(connectionOf(index));
}

for (const [key, attempts] of Object.entries(ATTEMPTS)) {
  const limit: Limit = LIMITS[key as keyof typeof LIMITS];
  Deno.test(`Limit "${limit.name}": ${limit.max} ${limit.unit} are accepted, one more is not`, () => {
    for (const attempt of attempts) {
      attempt(limit.max);
      const error = refusal(() => attempt(limit.max + 1));
      const { message, details } = error;
      assert.equal(error.kind, "resource_exhausted", message);
      assert.ok(message.includes(`"${limit.name}"`) && message.includes(limit.reason), message);
      assert.ok(message.includes(String(limit.max)), message);
      assert.ok(details.remedy !== undefined, `${message} says no remedy`);
      if (limit.unit !== "calls") {
        assert.ok(message.includes(String(limit.max + 1)), `${message} has not the size`);
        assert.ok(details.field !== undefined && message.includes(details.field));
      }
    }
  });
}

function refusal(work: () => void): SauropodError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof SauropodError, String(error));
    return error;
  }
  assert.fail("it was accepted");
}

Deno.test("docs/cri.md has every limit as it is", async () => {
  const docs = await Deno.readTextFile(new URL("../../docs/cri.md", import.meta.url));
  const rows = Object.values<Limit>(LIMITS).map(({ name, max, unit, reason }) =>
    `| ${name} | ${max.toLocaleString("en")} ${unit} | ${reason} |`
  );
  rows.push(
    `| request | ${
      RECEIVE_LIMIT_BYTES.toLocaleString("en")
    } bytes | \`grpc_max_recv_msg_size\` can make it less |`,
    `| fields of a request | ${(DECODED_NUMBERS_LIMIT / 2).toLocaleString("en")} entries | `,
    `| answer | ${SEND_LIMIT_BYTES.toLocaleString("en")} bytes | \`grpc_max_send_msg_size\` `,
    `| output of ExecSync | ${EXEC_OUTPUT_LIMIT_BYTES.toLocaleString("en")} bytes | `,
  );
  const missing = rows.filter((row) => !docs.includes(`\n${row}`));
  assert.deepEqual(missing, [], missing.join("\n"));
});
