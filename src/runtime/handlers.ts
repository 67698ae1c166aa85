/**
 * Runtime handlers: what the administrator configured, and what was found on the node.
 *
 * @module
 */
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
  shown,
} from "../errors/mod.ts";
import type { ProcessRunner } from "../sys/process_runner.ts";
import { findProgram, isExecutable } from "../sys/programs.ts";
import type { LogLevel } from "../telemetry/mod.ts";
import { compareVersions, parseVersion, type Version } from "./versions.ts";

/** One entry of `[crio.runtime.runtimes]`. */
export interface RuntimeHandlerOptions {
  readonly name: string;
  /** Driver: an OCI command line below conmon. */
  readonly runtimeType: "oci";
  /** Absolute path of the OCI runtime; empty: the handler's name on the search path. */
  readonly runtimePath: string;
  /** Given to the runtime as `--root`. */
  readonly runtimeRoot: string;
  /** Absolute path of conmon; empty: `conmon` on the search path. */
  readonly monitorPath: string;
  /** `KEY=VALUE` for the monitor and the runtime below it. */
  readonly monitorEnv: readonly string[];
  /**
   * Where the monitor of a container goes whose cgroup systemd makes: `pod` for the pod's slice, or a
   * slice; empty for system.slice.
   */
  readonly monitorCgroup: string;
  /** How long the monitor may take to report a created container. */
  readonly createTimeoutMs: number;
  /** The monitor does not sync the log at the container's end. */
  readonly noSyncLog: boolean;
}

/** What the configuration says about running containers; the config room maps to this. */
export interface RuntimeOptions {
  /** Name of one of `handlers`. */
  readonly defaultHandler: string;
  readonly handlers: readonly RuntimeHandlerOptions[];
  /** Monitors write `<id>` here at a container's end; watched. */
  readonly exitsDir: string;
  /** Attach sockets are reached as `<dir>/<id>/attach`. */
  readonly attachSocketDir: string;
  /** Private directory for the files of running execs; emptied at start. */
  readonly execDir: string;
  /** Level of the monitors' own messages in the system log. */
  readonly logLevel: LogLevel;
  /** At this size the monitor starts a container's log anew; negative: never. */
  readonly logSizeMaxBytes: number;
  /** The runtime moves the root mount instead of pivoting (initramfs nodes). */
  readonly noPivot: boolean;
  /** Environment of this process that is handed on; nothing else is. */
  readonly environment: { readonly PATH: string; readonly XDG_RUNTIME_DIR?: string };
}

/** A handler that works on this node. */
export interface RuntimeHandler extends RuntimeHandlerOptions {
  readonly runtimeVersion: string;
  readonly monitorVersion: string;
  /** The runtime knows the mount option `rro`. */
  readonly recursiveReadOnlyMounts: boolean;
  /** The runtime can map ids of mounts, without which pods with user namespaces are refused. */
  readonly idMappedMounts: boolean;
  readonly userNamespaces: boolean;
  /** Known holes of the versions found, for Status and `check`. */
  readonly warnings: readonly string[];
}

export interface HandlersFound {
  /** By name. */
  readonly handlers: ReadonlyMap<string, RuntimeHandler>;
  /** Handlers left out, with the reason. */
  readonly dropped: readonly { readonly name: string; readonly reason: string }[];
}

/** A program that hangs, not a slow one: an emulated machine takes ten seconds for each. */
const PROBE_TIMEOUT_MS = 60_000;
const PROBE_OUTPUT_BYTES = 1 << 20;

/**
 * Looks for every handler's programs and asks them what they can do. A handler that does not work
 * is left out, unless it is the default.
 *
 * @throws {NotFoundError} the default handler is not configured, or a program of it is missing
 * @throws {FailedPreconditionError} a program of the default handler does not run
 */
export async function findHandlers(
  options: RuntimeOptions,
  runner: ProcessRunner,
): Promise<HandlersFound> {
  if (!options.handlers.some(({ name }) => name === options.defaultHandler)) {
    throw new NotFoundError(
      `The default runtime handler ${shown(options.defaultHandler)} is not configured`,
      { field: "default_runtime", remedy: "add its table below runtimes" },
    );
  }
  const handlers = new Map<string, RuntimeHandler>();
  const dropped: { name: string; reason: string }[] = [];
  await Promise.all(options.handlers.map(async (handler) => {
    try {
      handlers.set(handler.name, await probe(handler, options, runner));
    } catch (error) {
      if (handler.name === options.defaultHandler) throw error;
      dropped.push({ name: handler.name, reason: errorMessage(error) });
    }
  }));
  return { handlers, dropped };
}

async function probe(
  handler: RuntimeHandlerOptions,
  options: RuntimeOptions,
  runner: ProcessRunner,
): Promise<RuntimeHandler> {
  const { PATH } = options.environment;
  const runtimePath = await executable(handler.runtimePath, handler.name, PATH, "runtime_path");
  const monitorPath = await executable(handler.monitorPath, "conmon", PATH, "monitor_path");
  const ask = async (path: string, argument: string) => {
    const result = await runner.run({
      path,
      args: [argument],
      env: { PATH },
      timeoutMs: PROBE_TIMEOUT_MS,
      outputLimitBytes: PROBE_OUTPUT_BYTES,
    });
    return { ok: result.exitCode === 0, text: new TextDecoder().decode(result.stdout) };
  };
  const [runtime, monitor, features] = await Promise.all([
    ask(runtimePath, "--version"),
    ask(monitorPath, "--version"),
    ask(runtimePath, "features"),
  ]);
  if (!runtime.ok || !monitor.ok) {
    const path = runtime.ok ? monitorPath : runtimePath;
    throw new FailedPreconditionError(`${path} --version failed, so it cannot be used`, { path });
  }
  const runtimeVersion = parseVersion(runtime.text);
  const monitorVersion = parseVersion(monitor.text);
  return {
    ...handler,
    runtimePath,
    monitorPath,
    runtimeVersion: runtimeVersion?.text ?? "unknown",
    monitorVersion: monitorVersion?.text ?? "unknown",
    ...parseFeatures(features.ok ? features.text : "{}"),
    warnings: [
      ...(/^runc\b/.test(runtime.text) ? runcWarnings(runtimeVersion) : []),
      ...monitorWarnings(monitorVersion),
    ],
  };
}

/** The parts used here of the "features" document of the OCI runtime specification. */
export function parseFeatures(
  text: string,
): Pick<RuntimeHandler, "recursiveReadOnlyMounts" | "idMappedMounts" | "userNamespaces"> {
  const document = parseObject(text);
  const linux = objectAt(document, "linux");
  const idMappedMounts = objectAt(objectAt(linux, "mountExtensions"), "idmap")["enabled"] === true;
  const { mountOptions } = document;
  const { namespaces } = linux;
  return {
    recursiveReadOnlyMounts: Array.isArray(mountOptions) && mountOptions.includes("rro"),
    idMappedMounts,
    userNamespaces: idMappedMounts && Array.isArray(namespaces) && namespaces.includes("user"),
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return objectAt({ document: JSON.parse(text) }, "document");
  } catch {
    return {}; // a runtime that answers anything else has no features to tell of
  }
}

function objectAt(parent: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = parent[key];
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

/** Versions with known ways out of a container; a distribution may have fixed them in place. */
function runcWarnings(version: Version | undefined): string[] {
  if (version === undefined) return ["The version of runc cannot be read"];
  const warnings = [];
  if (compareVersions(version, [1, 1, 12]) < 0) {
    warnings.push(
      `runc ${version.text} is older than 1.1.12 (CVE-2024-21626), unless the distribution fixed it`,
    );
  }
  const fixed = version.numbers[1] === 3 ? [1, 3, 3] as const : [1, 2, 8] as const;
  if (compareVersions(version, fixed) < 0) {
    warnings.push(
      `runc ${version.text} is older than ${fixed.join(".")} ` +
        "(CVE-2025-31133, CVE-2025-52565, CVE-2025-52881), unless the distribution fixed it",
    );
  }
  return warnings;
}

function monitorWarnings(version: Version | undefined): string[] {
  if (version === undefined) return ["The version of conmon cannot be read"];
  return compareVersions(version, [2, 1, 2]) < 0
    ? [`conmon ${version.text} is older than 2.1.2, which is the oldest tried`]
    : [];
}

async function executable(
  configured: string,
  name: string,
  searchPath: string,
  field: string,
): Promise<string> {
  if (configured !== "") {
    if (!configured.startsWith("/")) {
      throw new InvalidArgumentError(`${field} ${shown(configured)} is not absolute`, {
        field,
        value: configured,
      });
    }
    if (await isExecutable(configured)) return configured;
    throw new NotFoundError(`${field} ${shown(configured)} is not an executable file`, {
      field,
      value: configured,
      remedy: "install it or correct the path",
    });
  }
  const path = await findProgram(name, searchPath);
  if (path !== undefined) return path;
  throw new NotFoundError(`${shown(name)} is not on the search path ${searchPath}`, {
    field,
    remedy: `install it or set ${field}`,
  });
}
