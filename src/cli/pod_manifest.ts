/**
 * Kubernetes Pod manifests, as far as `play` runs them: strict, because a field left out in silence
 * is a pod that is not the one that was written.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 * @module
 */
import { parseAllDocuments } from "yaml";
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import { expand } from "./expansion.ts";
import { ManifestNode } from "./manifest_reader.ts";
import { parseQuantity } from "../model/mod.ts";

export interface PodManifest {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly hostIpc: boolean;
  readonly shareProcessNamespace: boolean;
  readonly runtimeClassName: string;
  readonly terminationGracePeriodSeconds: bigint;
  readonly restartPolicy: "Always" | "OnFailure" | "Never";
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  } | undefined;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly security: IdentityFields & {
    readonly fsGroup: bigint | undefined;
    readonly supplementalGroups: readonly bigint[];
  };
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly containers: readonly ContainerManifest[];
  /** Paths of fields that say nothing to a single node. */
  readonly ignored: readonly string[];
}

export type Volume =
  | { readonly kind: "emptyDir" }
  | { readonly kind: "hostPath"; readonly path: string; readonly type: HostPathType };

const HOST_PATH_TYPES = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File"] as const;
export type HostPathType = typeof HOST_PATH_TYPES[number];

interface IdentityFields {
  readonly runAsUser: bigint | undefined;
  readonly runAsGroup: bigint | undefined;
  readonly runAsNonRoot: boolean;
  /** Undefined where nothing is said: the runtime's default. */
  readonly seccomp: SeccompChoice | undefined;
}

export type SeccompChoice =
  | { readonly kind: "RuntimeDefault" | "Unconfined" }
  | { readonly kind: "Localhost"; readonly path: string };

export interface ContainerManifest {
  readonly name: string;
  readonly image: string;
  readonly pullPolicy: "Always" | "IfNotPresent" | "Never";
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly workingDir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly ports: readonly PortManifest[];
  readonly mounts: readonly VolumeMount[];
  readonly resources: ResourceManifest;
  readonly security: IdentityFields & {
    readonly privileged: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly addCapabilities: readonly string[];
    readonly dropCapabilities: readonly string[];
  };
}

export interface PortManifest {
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}

export interface VolumeMount {
  readonly volume: string;
  readonly mountPath: string;
  readonly readOnly: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
}

/** Millicores and bytes; undefined where nothing is said. */
export interface ResourceManifest {
  readonly cpuRequest: bigint | undefined;
  readonly cpuLimit: bigint | undefined;
  readonly memoryRequest: bigint | undefined;
  readonly memoryLimit: bigint | undefined;
}

/** The largest manifest that is read. */
export const MANIFEST_LIMIT_BYTES = 1 << 20;

/**
 * The pods of a YAML text of any number of documents.
 *
 * @throws {InvalidArgumentError} the text is no YAML, or says something that is not supported; names
 *   the path of the field
 */
export function parsePodManifests(text: string): PodManifest[] {
  const documents = parseAllDocuments(text, {
    version: "1.2",
    schema: "core",
    uniqueKeys: true,
    intAsBigInt: true,
    prettyErrors: true,
    logLevel: "error",
  });
  if (!Array.isArray(documents)) return [];
  const pods = documents.flatMap((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) {
      throw new InvalidArgumentError(`Cannot read the manifest: ${problem.message.split("\n")[0]}`);
    }
    // An alias can make a small text huge.
    const value: unknown = document.toJS({ maxAliasCount: 0 });
    return value === null ? [] : [readPod(new ManifestNode("", value))];
  });
  const names = pods.map(({ namespace, name }) => `${namespace}/${name}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new InvalidArgumentError(`The manifest has the pod ${twice} twice`);
  }
  return pods;
}

const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const POD_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** What schedulers and controllers read, and a single node has no use for. */
const SCHEDULING = [
  "schedulerName",
  "nodeName",
  "nodeSelector",
  "affinity",
  "tolerations",
  "priority",
  "priorityClassName",
  "preemptionPolicy",
  "topologySpreadConstraints",
  "enableServiceLinks",
  "serviceAccountName",
  "serviceAccount",
];

const RECORDED = [
  "uid",
  "creationTimestamp",
  "resourceVersion",
  "generation",
  "managedFields",
  "selfLink",
  "ownerReferences",
];

function readPod(node: ManifestNode): PodManifest {
  const ignored: string[] = [];
  const ignore = (path: string): void => {
    ignored.push(path);
  };
  const top = node.fields(["apiVersion", "kind", "metadata", "spec"], ["status"], ignore);
  const kind = top.kind.text();
  if (kind !== "Pod") top.kind.refuse(`must be Pod, not ${shown(kind)}: only pods can be played`);
  if (top.apiVersion.text() !== "v1") top.apiVersion.refuse("must be v1");
  const metadata = top.metadata.fields(
    ["name", "namespace", "labels", "annotations"],
    RECORDED,
    ignore,
  );
  const spec = top.spec.fields(
    [
      "containers",
      "volumes",
      "hostname",
      "hostNetwork",
      "hostPID",
      "hostIPC",
      "shareProcessNamespace",
      "restartPolicy",
      "dnsConfig",
      "dnsPolicy",
      "terminationGracePeriodSeconds",
      "securityContext",
      "runtimeClassName",
      "automountServiceAccountToken",
    ],
    SCHEDULING,
    ignore,
  );
  const name = named(metadata.name, POD_NAME);
  const volumes = readVolumes(spec.volumes);
  const containers = spec.containers.list().map((item) => readContainer(item, volumes, ignore));
  if (containers.length === 0) spec.containers.refuse("must name a container");
  const names = containers.map((container) => container.name);
  if (new Set(names).size !== names.length) spec.containers.refuse("has a name twice");
  return {
    name,
    namespace: metadata.namespace.present ? named(metadata.namespace, NAME) : "default",
    labels: metadata.labels.textMap(),
    annotations: metadata.annotations.textMap(),
    hostname: spec.hostname.present ? named(spec.hostname, NAME) : name.slice(0, 63),
    hostNetwork: spec.hostNetwork.boolean(false),
    hostPid: spec.hostPID.boolean(false),
    hostIpc: spec.hostIPC.boolean(false),
    shareProcessNamespace: spec.shareProcessNamespace.boolean(false),
    runtimeClassName: spec.runtimeClassName.text(""),
    terminationGracePeriodSeconds: natural(spec.terminationGracePeriodSeconds) ?? 30n,
    restartPolicy: spec.restartPolicy.word(["Always", "OnFailure", "Never"], "Always"),
    dns: readDns(spec.dnsConfig, spec.dnsPolicy),
    ...readPodSecurity(spec.securityContext),
    volumes,
    containers,
    ignored,
  };
}

function readDns(config: ManifestNode, policy: ManifestNode): PodManifest["dns"] {
  // Without a cluster every policy but None means the node's own resolver.
  policy.word(["Default", "ClusterFirst", "ClusterFirstWithHostNet", "None"], "Default");
  if (!config.present) {
    return policy.text("Default") === "None" ? policy.refuse("None needs dnsConfig") : undefined;
  }
  const { nameservers, searches, options } = config.fields(["nameservers", "searches", "options"]);
  return {
    servers: nameservers.texts(),
    searches: searches.texts(),
    options: options.list().map((option) => {
      const { name, value } = option.fields(["name", "value"]);
      return value.present ? `${name.text()}:${value.text()}` : name.text();
    }),
  };
}

function readPodSecurity(node: ManifestNode): Pick<PodManifest, "security" | "sysctls"> {
  const fields = node.fields([
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "seccompProfile",
    "fsGroup",
    "supplementalGroups",
    "sysctls",
  ]);
  return {
    security: {
      ...readIdentity(fields),
      fsGroup: natural(fields.fsGroup),
      supplementalGroups: fields.supplementalGroups.list().map((item) => natural(item)!),
    },
    sysctls: Object.fromEntries(
      fields.sysctls.list().map((item) => {
        const { name, value } = item.fields(["name", "value"]);
        return [name.text(), value.text()];
      }),
    ),
  };
}

function readIdentity(
  fields: Record<"runAsUser" | "runAsGroup" | "runAsNonRoot" | "seccompProfile", ManifestNode>,
): IdentityFields {
  return {
    runAsUser: natural(fields.runAsUser),
    runAsGroup: natural(fields.runAsGroup),
    runAsNonRoot: fields.runAsNonRoot.boolean(false),
    seccomp: readSeccomp(fields.seccompProfile),
  };
}

function readSeccomp(node: ManifestNode): SeccompChoice | undefined {
  if (!node.present) return undefined;
  const { type, localhostProfile } = node.fields(["type", "localhostProfile"]);
  const kind = type.word(["RuntimeDefault", "Unconfined", "Localhost"], "RuntimeDefault");
  return kind === "Localhost" ? { kind, path: localhostProfile.text() } : { kind };
}

function readVolumes(node: ManifestNode): ReadonlyMap<string, Volume> {
  const volumes = new Map<string, Volume>();
  for (const item of node.list()) {
    const { name, emptyDir, hostPath } = item.fields(["name", "emptyDir", "hostPath"]);
    const volumeName = named(name, NAME);
    if (volumes.has(volumeName)) name.refuse(`${shown(volumeName)} is there twice`);
    if (hostPath.present) {
      const { path, type } = hostPath.fields(["path", "type"]);
      volumes.set(volumeName, {
        kind: "hostPath",
        path: absolute(path),
        type: type.word(HOST_PATH_TYPES, ""),
      });
    } else {
      if (item.fields(["name", "emptyDir"]).emptyDir.value === undefined) {
        item.refuse("must have emptyDir or hostPath");
      }
      emptyDir.fields([]);
      volumes.set(volumeName, { kind: "emptyDir" });
    }
  }
  return volumes;
}

function readContainer(
  node: ManifestNode,
  volumes: ReadonlyMap<string, Volume>,
  ignore: (path: string) => void,
): ContainerManifest {
  const fields = node.fields(
    [
      "name",
      "image",
      "imagePullPolicy",
      "command",
      "args",
      "env",
      "workingDir",
      "tty",
      "stdin",
      "stdinOnce",
      "ports",
      "volumeMounts",
      "resources",
      "securityContext",
    ],
    ["terminationMessagePath", "terminationMessagePolicy"],
    ignore,
  );
  const image = fields.image.text();
  if (image === "") fields.image.refuse("must not be empty");
  const env = readEnvironment(fields.env);
  const variables = new Map(env.map(({ name, value }) => [name, value]));
  return {
    name: named(fields.name, NAME),
    image,
    pullPolicy: fields.imagePullPolicy.word(
      ["Always", "IfNotPresent", "Never"],
      isLatest(image) ? "Always" : "IfNotPresent",
    ),
    command: fields.command.texts().map((text) => expand(text, variables)),
    args: fields.args.texts().map((text) => expand(text, variables)),
    env,
    workingDir: fields.workingDir.text(""),
    tty: fields.tty.boolean(false),
    stdin: fields.stdin.boolean(false),
    stdinOnce: fields.stdinOnce.boolean(false),
    ports: fields.ports.list().map(readPort),
    mounts: fields.volumeMounts.list().map((item) => readMount(item, volumes)),
    resources: readResources(fields.resources, ignore),
    security: readContainerSecurity(fields.securityContext),
  };
}

/** No tag and no digest means `latest`, which Kubernetes pulls each time. */
function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const last = image.slice(image.lastIndexOf("/") + 1);
  return !last.includes(":") || last.endsWith(":latest");
}

function readEnvironment(node: ManifestNode): { name: string; value: string }[] {
  const variables = new Map<string, string>();
  for (const item of node.list()) {
    const { name, value } = item.fields(["name", "value"]);
    const text = name.text();
    if (!/^[^=\0]+$/.test(text)) name.refuse(`${shown(text)} is no name of a variable`);
    variables.set(text, expand(value.text(""), variables));
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

function readPort(node: ManifestNode): PortManifest {
  const { containerPort, hostPort, hostIP, protocol } = node.fields(
    ["containerPort", "hostPort", "hostIP", "protocol"],
    ["name"],
  );
  return {
    containerPort: portNumber(containerPort, 1),
    hostPort: hostPort.present ? portNumber(hostPort, 0) : 0,
    hostIp: hostIP.text(""),
    protocol: protocol.word(["TCP", "UDP", "SCTP"], "TCP"),
  };
}

function readMount(node: ManifestNode, volumes: ReadonlyMap<string, Volume>): VolumeMount {
  const { name, mountPath, readOnly, mountPropagation } = node.fields([
    "name",
    "mountPath",
    "readOnly",
    "mountPropagation",
  ]);
  const volume = name.text();
  if (!volumes.has(volume)) name.refuse(`${shown(volume)} is not among spec.volumes`);
  return {
    volume,
    mountPath: absolute(mountPath),
    readOnly: readOnly.boolean(false),
    propagation: mountPropagation.word(["None", "HostToContainer", "Bidirectional"], "None"),
  };
}

function readResources(node: ManifestNode, ignore: (path: string) => void): ResourceManifest {
  const { limits, requests } = node.fields(["limits", "requests"]);
  const known = ["cpu", "memory"] as const;
  const limit = limits.fields(known, ["ephemeral-storage"], ignore);
  const request = requests.fields(known, ["ephemeral-storage"], ignore);
  const [cpuLimit, memoryLimit] = [quantity(limit.cpu, 1000n), quantity(limit.memory)];
  return {
    cpuLimit,
    memoryLimit,
    // What is limited and not requested is requested at its limit.
    cpuRequest: quantity(request.cpu, 1000n) ?? cpuLimit,
    memoryRequest: quantity(request.memory) ?? memoryLimit,
  };
}

function readContainerSecurity(node: ManifestNode): ContainerManifest["security"] {
  const fields = node.fields([
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "seccompProfile",
    "privileged",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "capabilities",
  ]);
  const capabilities = fields.capabilities.fields(["add", "drop"]);
  return {
    ...readIdentity(fields),
    privileged: fields.privileged.boolean(false),
    readOnlyRootFilesystem: fields.readOnlyRootFilesystem.boolean(false),
    allowPrivilegeEscalation: fields.allowPrivilegeEscalation.boolean(true),
    addCapabilities: capabilities.add.texts(),
    dropCapabilities: capabilities.drop.texts(),
  };
}

function named(node: ManifestNode, form: RegExp): string {
  const text = node.text();
  return form.test(text) ? text : node.refuse(`${shown(text)} is not a valid name`);
}

function absolute(node: ManifestNode): string {
  const path = node.text();
  return path.startsWith("/") && !path.includes("\0")
    ? path
    : node.refuse(`${shown(path)} must be an absolute path`);
}

function natural(node: ManifestNode): bigint | undefined {
  if (!node.present) return undefined;
  const value = node.integer();
  return value >= 0n && value < 1n << 62n ? value : node.refuse("must not be negative");
}

function portNumber(node: ManifestNode, least: number): number {
  const value = node.integer();
  return value >= BigInt(least) && value <= 65_535n
    ? Number(value)
    : node.refuse("must be a port number");
}

/** YAML makes numbers of plain digits, which are quantities as well. */
function quantity(node: ManifestNode, scale = 1n): bigint | undefined {
  if (!node.present) return undefined;
  const { value } = node;
  const text = typeof value === "bigint" || typeof value === "number" ? String(value) : node.text();
  return parseQuantity(text, scale) ?? node.refuse(`${shown(text)} is no quantity`);
}
