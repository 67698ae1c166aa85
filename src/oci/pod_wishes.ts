/**
 * What a pod asks of the runtime by annotation: CRI-O's names, in both generations, and only where the
 * handler's `allowed_annotations` lists the very name.
 *
 * @module
 */
import { FailedPreconditionError, InvalidArgumentError, shown } from "../errors/mod.ts";
import { parseQuantity } from "../model/mod.ts";

/** What the administrator says about annotations of one handler. */
export interface AnnotationRules {
  /** `allowed_annotations`; nothing is matched by prefix (CVE-2023-6476). */
  readonly allowed: readonly string[];
  /** `default_annotations`: for pods that have none of that name; not filtered, they are the node's own. */
  readonly defaults: Readonly<Record<string, string>>;
}

interface Asked {
  readonly key: string;
  readonly value: string;
}

type Annotations = Readonly<Record<string, string>>;

const OLD = "io.kubernetes.cri-o.";
/** Both names of each, the one that wins first. */
const WISHES = {
  cgroupReadWrite: [
    "cgroup2-mount-hierarchy-rw.crio.io",
    `${OLD}cgroup2-mount-hierarchy-rw`,
  ],
  /** For the default network alone; known by Multus, which reads it by itself. */
  defaultNetwork: ["v1.multus-cni.io/default-network"],
  devices: ["devices.crio.io", `${OLD}Devices`],
  shmSize: ["shm-size.crio.io", `${OLD}ShmSize`],
  umask: ["umask.crio.io", `${OLD}umask`],
  unifiedCgroup: ["unified-cgroup.crio.io", `${OLD}UnifiedCgroup`],
} as const;

export type Wish = keyof typeof WISHES;

/**
 * What the pod says, else the handler's default; undefined if neither does, or the pod may not.
 *
 * @param container its name: the annotation is the one for it, `<name>/<container>`
 */
export function wishOf(
  wish: Wish,
  annotations: Annotations,
  { allowed, defaults }: AnnotationRules,
  container?: string,
): Asked | undefined {
  const suffix = container === undefined ? "" : `/${container}`;
  for (
    const [source, mayAsk] of [
      [annotations, (name: string) => allowed.includes(name)],
      [defaults, () => true],
    ] as const
  ) {
    for (const name of WISHES[wish]) {
      const key = `${name}${suffix}`;
      if (Object.hasOwn(source, key) && mayAsk(name)) return { key, value: source[key] ?? "" };
    }
  }
  return undefined;
}

/** @throws {InvalidArgumentError} the size is no quantity above zero */
export function shmSizeWish(annotations: Annotations, rules: AnnotationRules): bigint | undefined {
  const asked = wishOf("shmSize", annotations, rules);
  if (asked === undefined) return undefined;
  const bytes = parseQuantity(asked.value);
  // Above 2^63 - 1 the kernel would read something else.
  if (bytes !== undefined && bytes > 0n && bytes < 1n << 63n) return bytes;
  throw wrong(asked, "is not a size of /dev/shm", "write a quantity above zero, such as 64Mi");
}

/** @throws {InvalidArgumentError} it is not one to four octal digits */
export function umaskWish(annotations: Annotations, rules: AnnotationRules): number | undefined {
  const asked = wishOf("umask", annotations, rules);
  if (asked === undefined) return undefined;
  if (/^[0-7]{1,4}$/.test(asked.value)) return Number.parseInt(asked.value, 8);
  throw wrong(asked, "is not a umask", "write one to four octal digits, such as 0022");
}

/** True if /sys/fs/cgroup is to be writable; only version 2 can give a container its own part of it. */
export function cgroupWriteWish(annotations: Annotations, rules: AnnotationRules): boolean {
  return wishOf("cgroupReadWrite", annotations, rules)?.value === "true";
}

/**
 * Files of cgroup version 2 that a container's group gets beside its limits: `key=value;...`, a value
 * as it is or in base64.
 *
 * @throws {InvalidArgumentError} an entry is not of that form
 * @throws {FailedPreconditionError} the node has version 1
 */
export function unifiedWish(
  annotations: Annotations,
  rules: AnnotationRules,
  { container, cgroupVersion }: { readonly container: string; readonly cgroupVersion: 1 | 2 },
): Record<string, string> {
  const asked = wishOf("unifiedCgroup", annotations, rules, container);
  if (asked === undefined) return {};
  if (cgroupVersion === 1) {
    throw new FailedPreconditionError(
      `Annotation ${asked.key} needs cgroup version 2, this node has version 1`,
      { field: fieldOf(asked), value: asked.value },
    );
  }
  const entries = asked.value.split(";").map((entry) => entry.trim()).filter((entry) =>
    entry !== ""
  );
  return Object.fromEntries(entries.map((entry) => {
    const equals = entry.indexOf("=");
    if (equals <= 0) {
      throw wrong(asked, `has the entry ${shown(entry)}`, "write key=value;key=value");
    }
    return [entry.slice(0, equals), plainValue(entry.slice(equals + 1))];
  }));
}

/** Base64 of printable text is decoded; `1000` is base64 as well, but of no text, and stays. */
function plainValue(value: string): string {
  if (
    !/^(?:[A-Za-z0-9+/]{4})+$|^(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)$/.test(
      value,
    )
  ) {
    return value;
  }
  const decoded = atob(value);
  return /^[\x20-\x7e\n]+$/.test(decoded) ? decoded : value;
}

function fieldOf({ key }: Asked): string {
  return `annotations["${key}"]`;
}

function wrong(asked: Asked, what: string, remedy: string): InvalidArgumentError {
  return new InvalidArgumentError(`Annotation ${asked.key} ${shown(asked.value)} ${what}`, {
    field: fieldOf(asked),
    value: asked.value,
    remedy,
  });
}
