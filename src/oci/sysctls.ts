/**
 * Kernel parameters of a pod: only those of its own namespaces, name and value checked so that
 * nothing else can be written (CVE-2022-0811, CVE-2022-0532).
 *
 * @module
 */
import { InvalidArgumentError, shown } from "../errors/mod.ts";

export interface SysctlInputs {
  /** From the request; one that cannot be honoured is an error. */
  readonly requested: Readonly<Record<string, string>>;
  /** `key=value`, from the configuration; one that cannot be honoured is left out with a warning. */
  readonly defaults: readonly string[];
  readonly hostNetwork: boolean;
  readonly hostIpc: boolean;
  /** Largest group id that is mapped in the pod; unbounded without a user namespace. */
  readonly largestMappedGid?: number;
}

export interface PodSysctls {
  /** Slash form and value: `net/ipv4/ip_forward`. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

const FIELD = "config.linux.sysctls";
/** A part of a name as the kernel makes them, interface names included. */
const PART = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$/;
const PING_GROUP_RANGE = "net/ipv4/ping_group_range";

/** @throws {InvalidArgumentError} a requested parameter is not of the pod's own namespaces, or is malformed */
export function podSysctls(inputs: SysctlInputs): PodSysctls {
  const sysctls: Record<string, string> = {};
  const warnings: string[] = [];
  for (const entry of inputs.defaults) {
    if (entry.trim() === "") continue;
    const equals = entry.indexOf("=");
    const name = equals < 0 ? entry : entry.slice(0, equals);
    const value = equals < 0 ? "" : entry.slice(equals + 1);
    const checked = checkSysctl(name, value, inputs);
    if ("problem" in checked) {
      warnings.push(`default_sysctls ${shown(entry)} is not set: ${checked.problem}`);
    } else sysctls[checked.path] = checked.value;
  }
  for (const [name, value] of Object.entries(inputs.requested)) {
    const checked = checkSysctl(name, value, inputs);
    if ("problem" in checked) {
      throw new InvalidArgumentError(`Sysctl ${shown(name)} cannot be set: ${checked.problem}`, {
        field: FIELD,
        value: name,
        remedy: "leave it out, or set it on the node",
      });
    }
    sysctls[checked.path] = checked.value;
  }
  return { sysctls, warnings };
}

type Checked =
  | { readonly path: string; readonly value: string }
  | { readonly problem: string };

function checkSysctl(name: string, value: string, inputs: SysctlInputs): Checked {
  const path = slashForm(name);
  if (path === undefined) return { problem: "its name is malformed" };
  // deno-lint-ignore no-control-regex -- a tab separates numbers, everything else could end the value
  if (value === "" || value.length > 1024 || /[\0-\x08\x0a-\x1f\x7f+=]/.test(value)) {
    return { problem: "its value is empty, too long, or holds a line break, '+' or '='" };
  }
  switch (familyOf(path)) {
    case "network":
      if (inputs.hostNetwork) return { problem: "the pod shares the host's network namespace" };
      break;
    case "ipc":
      if (inputs.hostIpc) return { problem: "the pod shares the host's IPC namespace" };
      break;
    case undefined:
      return { problem: "it is not a parameter of a pod's own namespaces" };
  }
  return path === PING_GROUP_RANGE ? pingGroupRange(path, value, inputs) : { path, value };
}

/**
 * Both forms of `sysctl(8)`: with the first separator a slash, slashes separate and dots are part
 * of names; else the other way round.
 */
function slashForm(name: string): string | undefined {
  const separator = /[./]/.exec(name)?.[0];
  if (separator === undefined || name.length > 256) return undefined;
  const path = separator === "/"
    ? name
    : [...name].map((char) => (char === "." ? "/" : char === "/" ? "." : char)).join("");
  return path.split("/").every((part) => PART.test(part) && !part.includes(".."))
    ? path
    : undefined;
}

function familyOf(path: string): "network" | "ipc" | undefined {
  if (path.startsWith("net/")) return "network";
  if (/^kernel\/(?:sem|shm[a-z_]+|msg[a-z_]+)$/.test(path)) return "ipc";
  if (/^fs\/mqueue\/[a-z_]+$/.test(path)) return "ipc";
  return undefined;
}

/** The kernel refuses groups that are not mapped, so the usual "everyone" is cut. */
function pingGroupRange(path: string, value: string, inputs: SysctlInputs): Checked {
  const match = /^([0-9]{1,10})[ \t]+([0-9]{1,10})$/.exec(value);
  if (match === null) return { problem: "its value is not two group ids" };
  const largest = inputs.largestMappedGid;
  if (largest === undefined) return { path, value };
  return { path, value: `${match[1]} ${Math.min(Number(match[2]), largest)}` };
}
