/**
 * The part of the OCI runtime specification (1.0.2) that this runtime emits, and its encoding.
 *
 * @module
 */

/** `JSON.rawJSON`: what a number too large for a double looks like until it is encoded. */
export interface RawJson {
  readonly rawJSON: string;
}

/** An integer that keeps its exact value in JSON. */
export type SpecInteger = number | RawJson;

export interface RuntimeSpec {
  readonly ociVersion: "1.0.2";
  readonly process: SpecProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly mounts: readonly SpecMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: SpecLinux;
}

export interface SpecProcess {
  readonly terminal: boolean;
  readonly user: SpecUser;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: SpecCapabilities;
  readonly rlimits?: readonly SpecRlimit[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
  readonly apparmorProfile?: string;
}

export interface SpecUser {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids: readonly number[];
}

/** Sets of names such as `CAP_CHOWN`. */
export interface SpecCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface SpecRlimit {
  /** `RLIMIT_NOFILE`. */
  readonly type: string;
  readonly soft: SpecInteger;
  readonly hard: SpecInteger;
}

export interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface SpecNamespace {
  readonly type: "mount" | "network" | "ipc" | "uts" | "pid" | "cgroup";
  readonly path?: string;
}

export interface SpecLinux {
  readonly namespaces: readonly SpecNamespace[];
  readonly cgroupsPath: string;
  readonly resources: SpecResources;
  readonly devices?: readonly SpecDevice[];
  readonly seccomp?: SpecSeccomp;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly rootfsPropagation?: "rshared" | "rslave";
}

export interface SpecDevice {
  readonly path: string;
  readonly type: "c" | "b" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SpecDeviceRule {
  readonly allow: boolean;
  readonly type?: "c" | "b" | "a";
  readonly major?: number;
  readonly minor?: number;
  /** Of the letters r, w and m. */
  readonly access: string;
}

export interface SpecResources {
  readonly devices: readonly SpecDeviceRule[];
  readonly cpu?: {
    readonly shares?: SpecInteger;
    readonly quota?: SpecInteger;
    readonly period?: SpecInteger;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly memory?: { readonly limit: SpecInteger; readonly swap?: SpecInteger };
  readonly pids?: { readonly limit: number };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: SpecInteger }[];
  readonly unified?: Readonly<Record<string, string>>;
}

export interface SpecSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly SpecSyscall[];
}

export interface SpecSyscall {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: SpecInteger;
    readonly valueTwo?: SpecInteger;
    readonly op: string;
  }[];
}

/** ECMAScript's JSON.rawJSON and source text access, which the compiler's library does not have yet. */
interface ExactJson {
  rawJSON(text: string): RawJson;
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
}
const exactJson = JSON as unknown as ExactJson;

/** An integer for the specification: a number where that is exact, raw JSON beyond. */
export function specInteger(value: bigint): SpecInteger {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : exactJson.rawJSON(value.toString());
}

/** The specification as `config.json` holds it. */
export function encodeSpec(spec: RuntimeSpec): string {
  return JSON.stringify(spec);
}

/** Reads back what {@link encodeSpec} wrote; integers beyond 2^53 keep their value. */
export function decodeSpec(text: string): RuntimeSpec {
  return exactJson.parse(text, (_key, value, context) => {
    const exact = typeof value !== "number" || Number.isSafeInteger(value) ||
      context.source === undefined || !/^-?\d+$/.test(context.source);
    return exact ? value : exactJson.rawJSON(context.source);
  }) as RuntimeSpec;
}
