/**
 * What a request may carry at most, each with its reason. They stop a request that could exhaust
 * this process or the kernel; none is a matter of taste, and no pod that the API server admits
 * comes near one.
 *
 * @module
 */

export interface Limit {
  /** As it stands in the error message. */
  readonly name: string;
  readonly max: number;
  readonly unit: "bytes" | "entries" | "calls";
  readonly reason: string;
}

function bytes(name: string, max: number, reason: string): Limit {
  return { name, max, unit: "bytes", reason };
}

function entries(name: string, max: number, reason: string): Limit {
  return { name, max, unit: "entries", reason };
}

function calls(name: string, max: number, reason: string): Limit {
  return { name, max, unit: "calls", reason };
}

/** Answered whatever else is: they tell a client that the runtime is there. */
export const ALWAYS_SERVED: ReadonlySet<string> = new Set(["Version", "Status"]);

/** Largest request, as the kubelet's own limit for what it sends and receives. */
export const RECEIVE_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Output of ExecSync, both streams together: what the kubelet's limit of an answer leaves beside its other
 * fields. More is read and left out, for the command has run and its exit code counts.
 */
export const EXEC_OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024 - 4_096;

/** Largest answer, as the kubelet's own limit for what it sends and receives, with room for more. */
export const SEND_LIMIT_BYTES = 80 * 1024 * 1024;

/**
 * A message of a list that is streamed. A reader that stalls holds one of them beside what the list was
 * when it asked; the kubelet takes up to 16 MiB.
 */
export const STREAM_MESSAGE = { entries: 3_000, bytes: 256 * 1024 } as const;

/** A reader of such a list that takes nothing for so long is given up: others want its place. */
export const STREAM_PATIENCE_MS = 120_000;

/**
 * Tags and lengths read while decoding one request. A megabyte of empty list entries is half a
 * million objects; without this, 16 MiB of them would end the process before any list is counted.
 */
export const DECODED_NUMBERS_LIMIT = 400_000;

/** An error's text is sent in a header, whose list Go clients cut at 16 KiB. */
export const STATUS_TEXT_LIMIT_CHARACTERS = 3_000;
/** The same text as it travels: percent-encoded, a character can take up to nine bytes. */
export const STATUS_HEADER_LIMIT_BYTES = 12_000;

const ARGUMENT_REASON = "the kernel's limit of one argument or variable, MAX_ARG_STRLEN";
const PATH_REASON = "the kernel's limit of a path, PATH_MAX";

export const LIMITS = {
  calls: calls("calls under way", 2_000, "each holds memory, and many a process"),
  callsPerConnection: calls(
    "calls under way of one connection",
    1_500,
    "a kubelet with 500 pods has a third of it; the rest is for other clients of the node",
  ),
  id: bytes("id", 253, "an id has 64 characters, a name of the API server at most 253"),
  name: bytes("name", 253, "the API server's limit of a name"),
  hostname: bytes("hostname", 64, "the kernel's limit of a host name"),
  path: bytes("path", 4095, PATH_REASON),
  pathName: bytes("name in a path", 255, "the kernel's limit of one name in a path, NAME_MAX"),
  label: bytes("label", 4096, "a label's key and value together"),
  labels: entries("labels", 2_000, "bounds what every list answer repeats"),
  annotations: entries("annotations", 10_000, "bounds the record of a pod"),
  annotationBytes: bytes(
    "annotations",
    1024 * 1024,
    "four times the API server's limit of all annotations of an object",
  ),
  argument: bytes("argument", 131_071, ARGUMENT_REASON),
  argumentBytes: bytes(
    "arguments",
    6 * 1024 * 1024,
    "all arguments and variables together; the kernel's own limit is a quarter of the stack limit and may be less",
  ),
  argumentCount: entries("arguments", 65_536, "bounds the record of a container"),
  mounts: entries("mounts", 4_096, "a mount namespace holds 100,000 mounts for all pods of a node"),
  mountOptions: entries("mount options", 3, "there are three"),
  idMappings: entries("id mappings", 340, "the kernel's limit of one user namespace"),
  devices: entries("devices", 1_024, "bounds the device rules of a cgroup"),
  portMappings: entries("port mappings", 4_096, "each is several rules in the host's firewall"),
  dnsEntries: entries("DNS entries", 64, "the C library reads 3 servers; the API server admits 32"),
  dnsEntry: bytes("DNS entry", 2_048, "the API server's limit of all search domains together"),
  sysctls: entries("sysctls", 256, "each is a file to write while the pod starts"),
  sysctl: bytes("sysctl", 4_096, "the kernel reads one page"),
  unified: entries("unified", 256, "each is a file to write, and a cgroup has fewer"),
  unifiedValue: bytes("unified", 4_096, "the kernel reads one page"),
  capabilities: entries("capabilities", 128, "the kernel has 64 at most"),
  groups: entries("supplemental groups", 65_536, "the kernel's limit, NGROUPS_MAX"),
  maskedPaths: entries("masked or read-only paths", 1_024, "each is a mount"),
  hugepageLimits: entries("huge page limits", 32, "no machine has as many page sizes"),
  imageReference: bytes("image reference", 1_024, "a name of 255, a tag of 128, a digest of 135"),
  credential: bytes("credential", 65_536, "a registry token of several kilobytes is common"),
  userName: bytes("user name", 256, "the C library's limit of a login name"),
  cpuset: bytes("CPU list", 4_096, "the kernel reads one page"),
  forwardedPorts: entries("forwarded ports", 127, "each has two of a WebSocket's 255 channels"),
  filterLabels: entries("label selectors", 256, "each is compared with every pod"),
} as const satisfies Record<string, Limit>;
