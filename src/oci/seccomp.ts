/**
 * Seccomp profiles: the form that distributions ship (conditions on architecture, capabilities and
 * kernel) resolved for one container into the form of the OCI runtime specification.
 *
 * @module
 */
import { FailedPreconditionError, InternalError, InvalidArgumentError } from "../errors/mod.ts";
import defaultProfile from "./data/default_seccomp.json" with { type: "json" };
import type { SpecInteger, SpecSeccomp, SpecSyscall } from "./runtime_spec.ts";
import type { SeccompRequest } from "./seccomp_request.ts";

/** A profile as in containers-common's `seccomp.json`; the plain OCI form is a case of it. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly archMap?: readonly {
    readonly architecture: string;
    readonly subArchitectures: readonly string[];
  }[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly ProfileRule[];
}

/** A profile of a file of the node. */
export interface FileProfile {
  readonly path: string;
  readonly profile: SeccompProfile;
}

export interface ProfileRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args: readonly {
    readonly index: number;
    readonly value: SpecInteger;
    readonly valueTwo?: SpecInteger;
    readonly op: string;
  }[];
  /** All that is listed must hold for the rule to count; one of the list for architectures. */
  readonly includes: RuleCondition;
  /** Any of it makes the rule not count. */
  readonly excludes: RuleCondition;
}

export interface RuleCondition {
  /** Go names: `amd64`. */
  readonly arches: readonly string[];
  /** `CAP_SYS_ADMIN`. */
  readonly caps: readonly string[];
}

export interface SeccompInputs {
  readonly request: SeccompRequest;
  readonly available: boolean;
  readonly runtimeDefault?: SeccompProfile | undefined;
  readonly localhost?: SeccompProfile | undefined;
  /** Go's name: `amd64`. */
  readonly architecture: string;
  /** The container's bounding set. */
  readonly capabilities: readonly string[];
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  amd64: "SCMP_ARCH_X86_64",
  arm64: "SCMP_ARCH_AARCH64",
  arm: "SCMP_ARCH_ARM",
  "386": "SCMP_ARCH_X86",
  ppc64le: "SCMP_ARCH_PPC64LE",
  s390x: "SCMP_ARCH_S390X",
  riscv64: "SCMP_ARCH_RISCV64",
};

/**
 * The filter a container gets, undefined for none.
 *
 * @throws {FailedPreconditionError} a profile of its own is asked for on a kernel without seccomp
 */
export function buildSeccomp(inputs: SeccompInputs): SpecSeccomp | undefined {
  const { request, available } = inputs;
  switch (request.kind) {
    case "unstated":
    case "unconfined":
      return undefined;
    case "runtime-default":
      // Without the kernel's help there is no default to give; Status says so.
      return available
        ? resolveProfile(inputs.runtimeDefault ?? builtinProfile(), inputs)
        : undefined;
    case "localhost":
      if (!available) {
        throw new FailedPreconditionError(
          "A seccomp profile is asked for, but this kernel has no seccomp",
          { field: "config.linux.security_context.seccomp", value: request.path },
        );
      }
      if (inputs.localhost === undefined) {
        throw new InternalError("The seccomp profile of the request was not read", {
          path: request.path,
        });
      }
      return resolveProfile(inputs.localhost, inputs);
    default: {
      const never: never = request;
      return never;
    }
  }
}

/** Drops the rules whose conditions do not hold here, and names the machine's architectures. */
export function resolveProfile(
  profile: SeccompProfile,
  { architecture, capabilities }: Pick<SeccompInputs, "architecture" | "capabilities">,
): SpecSeccomp {
  const holds = ({ arches, caps }: RuleCondition) =>
    (arches.length === 0 || arches.includes(architecture)) &&
    caps.every((name) => capabilities.includes(name));
  const excluded = ({ arches, caps }: RuleCondition) =>
    arches.includes(architecture) || caps.some((name) => capabilities.includes(name));
  const syscalls = profile.syscalls
    .filter((rule) => holds(rule.includes) && !excluded(rule.excludes))
    .map(({ names, action, errnoRet, args }): SpecSyscall => ({
      names,
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args.length === 0 ? {} : { args }),
    }));
  const architectures = architecturesOf(profile, architecture);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls,
  };
}

function architecturesOf(
  profile: SeccompProfile,
  architecture: string,
): readonly string[] {
  if (profile.architectures !== undefined) return profile.architectures;
  const native = ARCHITECTURES[architecture];
  const entry = profile.archMap?.find(({ architecture }) => architecture === native);
  return entry === undefined ? [] : [entry.architecture, ...entry.subArchitectures];
}

/** The profile for nodes where no distribution brings one. */
export function builtinProfile(): SeccompProfile {
  return parseSeccompProfile(JSON.stringify(defaultProfile), "built-in seccomp profile");
}

/** Where containers-common installs its profile. */
export const DISTRIBUTION_PROFILE_PATH = "/usr/share/containers/seccomp.json";

/**
 * The distribution's profile as this runtime's default. Made for tools that nest containers, it lets
 * everyone make namespaces; as in CRI-O, that needs CAP_SYS_ADMIN here.
 *
 * @throws {InvalidArgumentError} the text is not a profile
 */
export function distributionProfile(text: string, source: string): SeccompProfile {
  const profile = parseSeccompProfile(text, source);
  const calls = ["clone", "clone3", "unshare"];
  const concerns = (names: readonly string[]) => names.some((name) => calls.includes(name));
  return {
    ...profile,
    syscalls: [
      ...profile.syscalls.map((rule) => ({
        ...rule,
        names: rule.names.filter((name) => !calls.includes(name)),
      })).filter(({ names }) => names.length > 0),
      ...builtinProfile().syscalls
        .filter(({ names }) => concerns(names))
        .map((rule) => ({ ...rule, names: rule.names.filter((name) => calls.includes(name)) })),
    ],
  };
}

/** Larger than any profile known, small enough to parse at once. */
const MAX_PROFILE_CHARS = 1024 * 1024;

/**
 * Parses a profile of either form.
 *
 * @param source names it in errors: its path
 * @throws {InvalidArgumentError} it is not JSON or not a profile
 */
export function parseSeccompProfile(text: string, source: string): SeccompProfile {
  const fail = (why: string, cause?: unknown) =>
    new InvalidArgumentError(`Seccomp profile ${source} ${why}`, { path: source, cause });
  if (text.length > MAX_PROFILE_CHARS) throw fail(`is longer than ${MAX_PROFILE_CHARS} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw fail("is not JSON", cause);
  }
  try {
    return profileOf(record(json));
  } catch (cause) {
    throw fail(`is not valid: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
}

function profileOf(json: Record<string, unknown>): SeccompProfile {
  for (const key of ["listenerPath", "listenerMetadata"]) {
    if (json[key] !== undefined && json[key] !== "") throw new TypeError(`${key} is not supported`);
  }
  const errno = optionalNumber(json, "defaultErrnoRet");
  const architectures = strings(json["architectures"]);
  const flags = strings(json["flags"]);
  return {
    defaultAction: action(json["defaultAction"], "defaultAction"),
    ...(errno === undefined ? {} : { defaultErrnoRet: errno }),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(flags.length === 0 ? {} : { flags }),
    ...(json["archMap"] === undefined ? {} : {
      archMap: list(json["archMap"]).map(record).map((entry) => ({
        architecture: String(entry["architecture"]),
        subArchitectures: strings(entry["subArchitectures"]),
      })),
    }),
    syscalls: list(json["syscalls"]).map(record).map(ruleOf),
  };
}

function ruleOf(json: Record<string, unknown>): ProfileRule {
  const errnoRet = optionalNumber(json, "errnoRet");
  // Older profiles name one call in `name`.
  const names = [
    ...strings(json["names"]),
    ...(typeof json["name"] === "string" ? [json["name"]] : []),
  ];
  return {
    names,
    action: action(json["action"], `action of ${names[0]}`),
    ...(errnoRet === undefined ? {} : { errnoRet }),
    args: list(json["args"]).map(record).map((arg) => ({
      index: integer(arg["index"]),
      value: integer(arg["value"]),
      ...(arg["valueTwo"] === undefined ? {} : { valueTwo: integer(arg["valueTwo"]) }),
      op: String(arg["op"]),
    })),
    includes: conditionOf(json["includes"]),
    excludes: conditionOf(json["excludes"]),
  };
}

function conditionOf(json: unknown): RuleCondition {
  if (json === undefined || json === null) return { arches: [], caps: [] };
  const condition = record(json);
  const unknown = Object.keys(condition).find((key) =>
    key !== "arches" && key !== "caps" && key !== "minKernel"
  );
  if (unknown !== undefined) throw new TypeError(`condition ${unknown} is not known`);
  // minKernel: every kernel that Kubernetes supports is newer than the 4.8 that profiles ask about.
  return { arches: strings(condition["arches"]), caps: strings(condition["caps"]) };
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError("an object is expected");
  }
  return value as Record<string, unknown>;
}

function list(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new TypeError("a list is expected");
  return value;
}

function strings(value: unknown): string[] {
  return list(value).map((item) => {
    if (typeof item !== "string") throw new TypeError("a list of texts is expected");
    return item;
  });
}

function action(value: unknown, where: string): string {
  if (typeof value !== "string" || !/^SCMP_ACT_[A-Z_]+$/.test(value)) {
    throw new TypeError(`${where} is not an action`);
  }
  if (value === "SCMP_ACT_NOTIFY") throw new TypeError("SCMP_ACT_NOTIFY is not supported");
  return value;
}

function integer(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    throw new TypeError("an integer up to 2^53 is expected");
  }
  return value;
}

function optionalNumber(json: Record<string, unknown>, key: string): number | undefined {
  return json[key] === undefined ? undefined : integer(json[key]);
}
