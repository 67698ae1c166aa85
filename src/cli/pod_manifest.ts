/**
 * Kubernetes Pod manifests, as far as `play` runs them: strict, because a field left out in silence
 * is a pod that is not the one that was written.
 *
 * @see https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 * @module
 */
import { type ConfigObjects, RECORDED } from "./config_objects.ts";
import { type ConfigScope, readVariables, type VariableManifest } from "./container_environment.ts";
import {
  absolutePath,
  labelName,
  natural,
  objectName,
  portNumber,
  relativePath,
} from "./manifest_fields.ts";
import type { ManifestNode } from "./manifest_reader.ts";
import { shown } from "../errors/mod.ts";
import { readResources, type ResourceManifest } from "./resource_manifest.ts";
import { readVolumes, type Volume } from "./volume_manifest.ts";

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
  readonly restartPolicy: RestartPolicy;
  readonly serviceAccountName: string;
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  } | undefined;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly security: IdentityFields & {
    readonly fsGroup: bigint | undefined;
    readonly supplementalGroups: readonly bigint[];
    readonly supplementalGroupsPolicy: "Merge" | "Strict";
  };
  readonly volumes: ReadonlyMap<string, Volume>;
  /** In the order in which they run, each to its end unless it is a sidecar. */
  readonly initContainers: readonly ContainerManifest[];
  readonly containers: readonly ContainerManifest[];
  /** What of the manifest is not used, for the person who wrote it. */
  readonly notes: readonly string[];
}

export type RestartPolicy = "Always" | "OnFailure" | "Never";

interface IdentityFields {
  readonly runAsUser: bigint | undefined;
  readonly runAsGroup: bigint | undefined;
  readonly runAsNonRoot: boolean;
  /** Undefined where nothing is said: the runtime's default. */
  readonly seccomp: ProfileChoice | undefined;
  readonly appArmor: ProfileChoice | undefined;
  readonly selinux: SelinuxManifest | undefined;
}

export interface SelinuxManifest {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

export type ProfileChoice =
  | { readonly kind: "RuntimeDefault" | "Unconfined" }
  | { readonly kind: "Localhost"; readonly path: string };

export interface ContainerManifest {
  readonly name: string;
  readonly image: string;
  readonly pullPolicy: "Always" | "IfNotPresent" | "Never";
  /** An init container that goes on running beside the others. */
  readonly sidecar: boolean;
  /** `$(NAME)` in them means the container's variables. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly variables: readonly VariableManifest[];
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
  /** One file or folder of the volume, undefined for all of it. */
  readonly subPath: string | undefined;
  readonly readOnly: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
}

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
  "schedulingGates",
  "readinessGates",
  "imagePullSecrets",
  "subdomain",
];

const UNSUPPORTED_SPEC = {
  activeDeadlineSeconds: "",
  ephemeralContainers: "",
  hostAliases: "",
  hostUsers: "user namespaces are not built",
  hostnameOverride: "",
  os: "",
  overhead: "",
  resourceClaims: "",
  resources: "give limits to each container",
  setHostnameAsFQDN: "",
  workloadRef: "",
};

/** A pod, or the template of one, whose object has another name. */
export interface PodSource {
  readonly metadata: ManifestNode;
  readonly spec: ManifestNode;
  /** Instead of what the metadata says: a template has no name of its own. */
  readonly identity?: { readonly name: string; readonly namespace: string };
}

/**
 * @throws {InvalidArgumentError} something is wrong or not supported; names path and line of the
 *   field
 */
export function readPod(source: PodSource, objects: ConfigObjects): PodManifest {
  const notes: string[] = [];
  const onIgnored = (path: string): void => {
    notes.push(`${path} is not used here`);
  };
  const metadata = source.metadata.fields(
    ["name", "namespace", "labels", "annotations"],
    { ignored: RECORDED, onIgnored },
  );
  const spec = source.spec.fields(
    [
      "containers",
      "initContainers",
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
      "serviceAccountName",
      "serviceAccount",
    ],
    { ignored: SCHEDULING, onIgnored, unsupported: UNSUPPORTED_SPEC },
  );
  const name = source.identity?.name ?? objectName(metadata.name);
  const namespace = source.identity?.namespace ??
    (metadata.namespace.present ? labelName(metadata.namespace) : "default");
  const scope = { objects, namespace };
  const volumes = readVolumes(spec.volumes, scope, onIgnored);
  const context: ContainerContext = { volumes, scope, note: (note) => notes.push(note), onIgnored };
  const containers = spec.containers.list().map((item) => readContainer(item, context));
  if (containers.length === 0) spec.containers.refuse("must name a container");
  const initContainers = spec.initContainers.list().map((item) => readInitContainer(item, context));
  const names = [...initContainers, ...containers].map((container) => container.name);
  if (new Set(names).size !== names.length) spec.containers.refuse("has a name twice");
  return {
    name,
    namespace,
    labels: metadata.labels.textMap(),
    annotations: metadata.annotations.textMap(),
    hostname: spec.hostname.present ? labelName(spec.hostname) : name.slice(0, 63),
    hostNetwork: spec.hostNetwork.boolean(false),
    hostPid: spec.hostPID.boolean(false),
    hostIpc: spec.hostIPC.boolean(false),
    shareProcessNamespace: spec.shareProcessNamespace.boolean(false),
    runtimeClassName: spec.runtimeClassName.text(""),
    terminationGracePeriodSeconds: natural(spec.terminationGracePeriodSeconds) ?? 30n,
    restartPolicy: spec.restartPolicy.word(["Always", "OnFailure", "Never"], "Always"),
    serviceAccountName: spec.serviceAccountName.text(spec.serviceAccount.text("default")),
    dns: readDns(spec.dnsConfig, spec.dnsPolicy),
    ...readPodSecurity(spec.securityContext, onIgnored),
    volumes,
    initContainers,
    containers,
    notes,
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

const IDENTITY = [
  "runAsUser",
  "runAsGroup",
  "runAsNonRoot",
  "seccompProfile",
  "appArmorProfile",
  "seLinuxOptions",
] as const;

const NOT_LINUX = { windowsOptions: "only Linux containers run here" };

function readPodSecurity(
  node: ManifestNode,
  onIgnored: (path: string) => void,
): Pick<PodManifest, "security" | "sysctls"> {
  const fields = node.fields(
    [...IDENTITY, "fsGroup", "supplementalGroups", "supplementalGroupsPolicy", "sysctls"],
    {
      // The volumes that fsGroup applies to are made anew for each pod.
      ignored: ["fsGroupChangePolicy"],
      onIgnored,
      unsupported: { ...NOT_LINUX, seLinuxChangePolicy: "" },
    },
  );
  return {
    security: {
      ...readIdentity(fields),
      fsGroup: natural(fields.fsGroup),
      supplementalGroups: fields.supplementalGroups.list().map((item) => natural(item)!),
      supplementalGroupsPolicy: fields.supplementalGroupsPolicy.word(["Merge", "Strict"], "Merge"),
    },
    sysctls: Object.fromEntries(
      fields.sysctls.list().map((item) => {
        const { name, value } = item.fields(["name", "value"]);
        return [name.text(), value.text()];
      }),
    ),
  };
}

function readIdentity(fields: Record<typeof IDENTITY[number], ManifestNode>): IdentityFields {
  return {
    runAsUser: natural(fields.runAsUser),
    runAsGroup: natural(fields.runAsGroup),
    runAsNonRoot: fields.runAsNonRoot.boolean(false),
    seccomp: readProfile(fields.seccompProfile),
    appArmor: readProfile(fields.appArmorProfile),
    selinux: readSelinux(fields.seLinuxOptions),
  };
}

function readProfile(node: ManifestNode): ProfileChoice | undefined {
  if (!node.present) return undefined;
  const { type, localhostProfile } = node.fields(["type", "localhostProfile"]);
  const kind = type.word(["RuntimeDefault", "Unconfined", "Localhost"], "RuntimeDefault");
  return kind === "Localhost" ? { kind, path: localhostProfile.text() } : { kind };
}

function readSelinux(node: ManifestNode): SelinuxManifest | undefined {
  if (!node.present) return undefined;
  const { user, role, type, level } = node.fields(["user", "role", "type", "level"]);
  return { user: user.text(""), role: role.text(""), type: type.text(""), level: level.text("") };
}

interface ContainerContext {
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly scope: ConfigScope;
  readonly note: (note: string) => void;
  readonly onIgnored: (path: string) => void;
}

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

const CONTAINER_FIELDS = [
  "name",
  "image",
  "imagePullPolicy",
  "command",
  "args",
  "env",
  "envFrom",
  "workingDir",
  "tty",
  "stdin",
  "stdinOnce",
  "ports",
  "volumeMounts",
  "resources",
  "securityContext",
  ...PROBES,
] as const;

const UNSUPPORTED_CONTAINER = {
  lifecycle: "hooks are run by a kubelet",
  volumeDevices: "",
  restartPolicyRules: "",
};

const IGNORED_CONTAINER = ["terminationMessagePath", "terminationMessagePolicy", "resizePolicy"];

function readContainer(node: ManifestNode, context: ContainerContext): ContainerManifest {
  const fields = node.fields(CONTAINER_FIELDS, {
    ignored: IGNORED_CONTAINER,
    onIgnored: context.onIgnored,
    unsupported: {
      ...UNSUPPORTED_CONTAINER,
      restartPolicy: "give it to the pod; only init containers have their own",
    },
  });
  return containerOf(fields, { ...context, sidecar: false });
}

function readInitContainer(node: ManifestNode, context: ContainerContext): ContainerManifest {
  const { restartPolicy, ...fields } = node.fields([...CONTAINER_FIELDS, "restartPolicy"], {
    ignored: IGNORED_CONTAINER,
    onIgnored: context.onIgnored,
    unsupported: UNSUPPORTED_CONTAINER,
  });
  const sidecar = restartPolicy.present && restartPolicy.word(["Always"], "Always") === "Always";
  return containerOf(fields, { ...context, sidecar });
}

function containerOf(
  fields: Readonly<Record<typeof CONTAINER_FIELDS[number], ManifestNode>>,
  { volumes, scope, note, onIgnored, sidecar }: ContainerContext & { readonly sidecar: boolean },
): ContainerManifest {
  const image = fields.image.text();
  if (image === "") fields.image.refuse("must not be empty");
  for (const probe of PROBES) {
    if (fields[probe].present) note(`${fields[probe].path} is not run: probes need a kubelet`);
  }
  return {
    name: labelName(fields.name),
    image,
    sidecar,
    pullPolicy: fields.imagePullPolicy.word(
      ["Always", "IfNotPresent", "Never"],
      isLatest(image) ? "Always" : "IfNotPresent",
    ),
    command: fields.command.texts(),
    args: fields.args.texts(),
    variables: readVariables(fields, scope),
    workingDir: fields.workingDir.text(""),
    tty: fields.tty.boolean(false),
    stdin: fields.stdin.boolean(false),
    stdinOnce: fields.stdinOnce.boolean(false),
    ports: fields.ports.list().map(readPort),
    mounts: fields.volumeMounts.list().map((item) => readMount(item, volumes)),
    resources: readResources(fields.resources, onIgnored),
    security: readContainerSecurity(fields.securityContext),
  };
}

/** No tag and no digest means `latest`, which Kubernetes pulls each time. */
function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const last = image.slice(image.lastIndexOf("/") + 1);
  return !last.includes(":") || last.endsWith(":latest");
}

function readPort(node: ManifestNode): PortManifest {
  const { containerPort, hostPort, hostIP, protocol } = node.fields(
    ["containerPort", "hostPort", "hostIP", "protocol"],
    { ignored: ["name"] },
  );
  return {
    containerPort: portNumber(containerPort, 1),
    hostPort: hostPort.present ? portNumber(hostPort, 0) : 0,
    hostIp: hostIP.text(""),
    protocol: protocol.word(["TCP", "UDP", "SCTP"], "TCP"),
  };
}

function readMount(node: ManifestNode, volumes: ReadonlyMap<string, Volume>): VolumeMount {
  const { name, mountPath, subPath, readOnly, mountPropagation } = node.fields(
    ["name", "mountPath", "subPath", "readOnly", "mountPropagation"],
    { unsupported: ["subPathExpr", "recursiveReadOnly"] },
  );
  const volume = volumes.get(name.text()) ??
    name.refuse(`${shown(name.text())} is not among spec.volumes`);
  return {
    volume: name.text(),
    mountPath: absolutePath(mountPath),
    subPath: subPath.present && subPath.text() !== "" ? readSubPath(subPath, volume) : undefined,
    readOnly: readOnly.boolean(false) || volume.kind === "files",
    propagation: mountPropagation.word(["None", "HostToContainer", "Bidirectional"], "None"),
  };
}

/** Only of volumes that no container can write: another could have a link to the node there. */
function readSubPath(node: ManifestNode, volume: Volume): string {
  if (volume.kind !== "files") {
    node.refuse("is supported for configMap, secret, downwardAPI and projected only");
  }
  const path = relativePath(node);
  const found = volume.files.some((file) => file.path === path || file.path.startsWith(`${path}/`));
  return found ? path : node.refuse(`${shown(path)} is not in the volume`);
}

function readContainerSecurity(node: ManifestNode): ContainerManifest["security"] {
  const fields = node.fields(
    [
      ...IDENTITY,
      "privileged",
      "readOnlyRootFilesystem",
      "allowPrivilegeEscalation",
      "capabilities",
      "procMount",
    ],
    { unsupported: NOT_LINUX },
  );
  const capabilities = fields.capabilities.fields(["add", "drop"]);
  fields.procMount.word(["Default"], "Default");
  return {
    ...readIdentity(fields),
    privileged: fields.privileged.boolean(false),
    readOnlyRootFilesystem: fields.readOnlyRootFilesystem.boolean(false),
    allowPrivilegeEscalation: fields.allowPrivilegeEscalation.boolean(true),
    addCapabilities: capabilities.add.texts(),
    dropCapabilities: capabilities.drop.texts(),
  };
}
