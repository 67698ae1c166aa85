/** Annotations of the specification: our record for tools, and what may pass to the OCI runtime. @module */
import { UnimplementedError } from "../errors/mod.ts";
import type { AnnotationRules } from "./pod_wishes.ts";
import type { SpecInputs } from "./spec_inputs.ts";
import { effectiveSeccomp } from "./seccomp_request.ts";

const PREFIX = "io.kubernetes.cri-o.";

/**
 * Keys that act on the host when they reach an OCI runtime or systemd (CVE-2024-3154), or that would
 * forge our own record: not even an allow-list lets them pass.
 */
const NEVER: readonly string[] = [
  "org.systemd.property.",
  "org.criu.",
  "run.oci.",
  "module.wasm.",
  "io.container.",
  PREFIX,
];

/**
 * Keys by which CRI-O changes a pod's isolation, limits or placement, by both their names, and that are
 * not built; those that are stand in `pod_wishes.ts`.
 */
const ACTING: readonly string[] = [
  ...["userns-mode", "seccomp-profile", "seccomp-notifier-action", "disable-fips", "link-logs"],
  ...["cpu-load-balancing", "cpu-quota", "irq-load-balancing", "cpu-c-states"],
  ...["cpu-freq-governor", "cpu-shared"],
].map((name) => `${name}.crio.io`).concat(
  ["userns-mode", "seccompNotifierAction", "DisableFIPS", "LinkLogs"]
    .map((name) => `${PREFIX}${name}`),
  ["seccomp-profile.kubernetes.cri-o.io", "io.kubernetes.cri.rdt-class"],
);

/**
 * What the handler lets pods ask for by annotation and nothing acts on yet; where it does not let them,
 * the annotation means nothing, as in CRI-O.
 *
 * @throws {UnimplementedError} naming the first such annotation
 */
export function refuseActingAnnotations(
  annotations: Readonly<Record<string, string>>,
  { allowed, defaults }: AnnotationRules,
): void {
  const askable = ACTING.filter((name) =>
    allowed.some((prefix) => prefix !== "" && name.startsWith(prefix))
  );
  const acting = [
    ...keysNamed(annotations, askable),
    ...keysNamed(defaults, ACTING),
  ];
  for (const key of acting) {
    throw new UnimplementedError(`The annotation ${key} is allowed, but not implemented yet`, {
      field: `annotations["${key}"]`,
      remedy: "leave the annotation out, or take it out of the handler's allowed_annotations " +
        "and default_annotations",
    });
  }
}

function keysNamed(
  annotations: Readonly<Record<string, string>>,
  names: readonly string[],
): string[] {
  return Object.keys(annotations).filter((key) =>
    names.some((name) => key === name || key.startsWith(`${name}/`))
  );
}

/** The container's record with CRI-O's keys, and the annotations that the handler's list lets pass. */
export function buildAnnotations(inputs: SpecInputs): Record<string, string> {
  return { ...forwardedAnnotations(inputs), ...recordAnnotations(inputs) };
}

/**
 * Those of pod and container, the container's winning, whose key is listed exactly or as
 * `<listed>/<container name>`; nothing is matched by prefix (CVE-2023-6476). The handler's defaults,
 * which the administrator wrote, need no listing.
 */
export function forwardedAnnotations(
  { sandbox, container, defaults }: Pick<SpecInputs, "sandbox" | "container" | "defaults">,
): Record<string, string> {
  const suffix = `/${container.metadata?.name ?? ""}`;
  const allowed = new Set(
    defaults.annotations.allowed.flatMap((key) => [key, `${key}${suffix}`]),
  );
  const asked = Object.entries({ ...sandbox.annotations, ...container.annotations })
    .filter(([key]) => allowed.has(key));
  return Object.fromEntries(
    Object.entries({ ...defaults.annotations.defaults, ...Object.fromEntries(asked) })
      .filter(([key]) => !NEVER.some((prefix) => key.startsWith(prefix)))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function recordAnnotations(inputs: SpecInputs): Record<string, string> {
  const { container, record, files } = inputs;
  const seccomp = effectiveSeccomp(
    container.linux?.securityContext,
    inputs.seccomp.privileged,
  );
  const entries: Record<string, string> = {
    Annotations: JSON.stringify(container.annotations),
    ContainerID: inputs.containerId,
    ContainerType: "container",
    Created: rfc3339(record.createdAtNs),
    Image: container.image?.userSpecifiedImage || container.image?.image || "",
    ImageName: record.imageName,
    ImageRef: record.imageId,
    ImageRepoDigests: record.repoDigests.join(","),
    Labels: JSON.stringify(container.labels),
    LogPath: record.logPath,
    Metadata: JSON.stringify(container.metadata ?? {}),
    MountPoint: inputs.rootfs,
    Name: record.name,
    ResolvPath: files.resolvConf ?? "",
    SandboxID: inputs.sandboxId,
    SandboxName: record.sandboxName,
    SeccompProfilePath: seccomp.kind === "localhost"
      ? seccomp.path
      : { "unstated": "", "unconfined": "Unconfined", "runtime-default": "RuntimeDefault" }[
        seccomp.kind
      ],
    Stdin: String(container.stdin),
    StdinOnce: String(container.stdinOnce),
    TTY: String(container.tty),
    Volumes: JSON.stringify(volumes(inputs)),
  };
  record.ips.forEach((ip, index) => (entries[`IP.${index}`] = ip));
  return {
    "io.container.manager": "cri-o",
    ...systemdProperties(inputs),
    // crun would put a container of systemd's into a group below its scope, where execs do not look.
    ...(inputs.cgroupPath.startsWith("/") ? {} : { "run.oci.systemd.subgroup": "" }),
    ...Object.fromEntries(Object.entries(entries).map(([key, value]) => [PREFIX + key, value])),
  };
}

/** On a container, by the kubelet: seconds that its pod has to end. */
const GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod";

/**
 * Properties of the scope that systemd makes for a container, which runc and crun take from annotations:
 * the machine's shutdown stops it, before this service, and gives it the time that its pod has. Nobody
 * else's words get in here: what the values are made of is a number and a unit's name.
 */
function systemdProperties({ cgroupPath, container, node }: SpecInputs): Record<string, string> {
  if (cgroupPath.startsWith("/")) return {};
  const seconds = container.annotations[GRACE_PERIOD] ?? "";
  const properties: Record<string, string> = {
    // Under 30,000 years in microseconds: what is longer is no time that anybody waits.
    ...(/^\d{1,12}$/.test(seconds)
      ? { TimeoutStopUSec: `uint64 ${BigInt(seconds) * 1_000_000n}` }
      : {}),
    DefaultDependencies: "true",
    After: `['${node.serviceUnit}']`,
  };
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [`org.systemd.property.${name}`, value]),
  );
}

function volumes({ container, mounts }: SpecInputs): unknown[] {
  return mounts.map((mount, index) => ({
    container_path: mount.containerPath,
    host_path: mount.hostPath,
    readonly: mount.readonly,
    recursive_read_only: mount.recursiveReadOnly,
    propagation: container.mounts[index]?.propagation ?? 0,
    selinux_relabel: container.mounts[index]?.selinuxRelabel ?? false,
  }));
}

/** Nanoseconds since the epoch as RFC 3339 with nine digits. */
function rfc3339(ns: bigint): string {
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}Z`;
}
