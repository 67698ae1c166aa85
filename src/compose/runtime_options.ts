/** What the runtime and the specifications take from the configuration. @module */
import { InvalidArgumentError, shown } from "../errors/mod.ts";
import {
  type Configuration,
  type HandlerConfiguration,
  parseSize,
  parseUlimit,
} from "../config/mod.ts";
import {
  type AnnotationRules,
  type SpecDefaults,
  specInteger,
  type SpecRlimit,
} from "../oci/mod.ts";
import type { RuntimeHandlerOptions, RuntimeOptions } from "../runtime/mod.ts";
import { SYSTEM_PATH } from "../sys/programs.ts";
import type { ServerPaths } from "./paths.ts";

/** CRI-O's rule: 0 means 240 s, and nothing below 30 s is believed. */
const DEFAULT_CREATE_TIMEOUT_S = 240;
const LEAST_CREATE_TIMEOUT_S = 30;

export function runtimeOptions(
  { runtime }: Configuration,
  paths: ServerPaths,
): RuntimeOptions {
  const xdg = Deno.env.get("XDG_RUNTIME_DIR");
  return {
    defaultHandler: runtime.default_runtime,
    handlers: Object.entries(runtime.runtimes).map(([name, handler]) =>
      handlerOptions(name, handler, runtime)
    ),
    exitsDir: runtime.container_exits_dir,
    attachSocketDir: runtime.container_attach_socket_dir,
    execDir: paths.execDir,
    logLevel: runtime.log_level as RuntimeOptions["logLevel"],
    logSizeMaxBytes: runtime.log_size_max,
    noPivot: runtime.no_pivot,
    environment: {
      PATH: searchPath(),
      ...(xdg === undefined ? {} : { XDG_RUNTIME_DIR: xdg }),
    },
  };
}

/** Where programs of the node are looked for. */
export function searchPath(): string {
  return Deno.env.get("PATH") ?? SYSTEM_PATH;
}

/** Who makes the cgroups. The schema knows no third. */
export function cgroupDriverOf({ runtime }: Configuration): "cgroupfs" | "systemd" {
  return runtime.cgroup_manager === "systemd" ? "systemd" : "cgroupfs";
}

function handlerOptions(
  name: string,
  handler: HandlerConfiguration,
  runtime: Configuration["runtime"],
): RuntimeHandlerOptions {
  return {
    name,
    runtimeType: "oci",
    runtimePath: handler.runtime_path,
    runtimeRoot: handler.runtime_root || `/run/${name}`,
    monitorPath: runtime.conmon || handler.monitor_path,
    monitorEnv: runtime.conmon_env.length > 0 ? runtime.conmon_env : handler.monitor_env,
    monitorCgroup: handler.monitor_cgroup,
    createTimeoutMs: createTimeoutMs(handler),
    noSyncLog: handler.no_sync_log,
  };
}

export function createTimeoutMs(handler: HandlerConfiguration | undefined): number {
  const seconds = handler?.container_create_timeout || DEFAULT_CREATE_TIMEOUT_S;
  return Math.max(seconds, LEAST_CREATE_TIMEOUT_S) * 1000;
}

/** What every container of a handler gets. */
export function specDefaults(
  { runtime }: Configuration,
  handler: HandlerConfiguration | undefined,
): SpecDefaults {
  return {
    capabilities: runtime.default_capabilities,
    addInheritableCapabilities: runtime.add_inheritable_capabilities,
    env: runtime.default_env,
    ulimits: runtime.default_ulimits.map(rlimitOf),
    pidsLimit: runtime.pids_limit,
    readOnly: runtime.read_only,
    privilegedWithoutHostDevices: handler?.privileged_without_host_devices ?? false,
    deviceOwnershipFromSecurityContext: runtime.device_ownership_from_security_context,
    minMemoryBytes: minMemory(handler?.container_min_memory),
    annotations: annotationRules(handler),
  };
}

/** What a handler says about annotations of its pods. */
export function annotationRules(handler: HandlerConfiguration | undefined): AnnotationRules {
  return {
    allowed: handler?.allowed_annotations ?? [],
    defaults: handler?.default_annotations ?? {},
  };
}

/** The least memory limit that a container of a handler may have. */
const DEFAULT_MIN_MEMORY = "12MiB";

function minMemory(configured: string | undefined): bigint {
  // A size that cannot be read is CRI-O's default, as the configuration has warned.
  return BigInt(parseSize(configured || DEFAULT_MIN_MEMORY) ?? parseSize(DEFAULT_MIN_MEMORY) ?? 0);
}

function rlimitOf(text: string): SpecRlimit {
  const limit = parseUlimit(text);
  if (typeof limit === "string") {
    throw new InvalidArgumentError(`default_ulimits ${shown(text)} ${limit}`, {
      field: "runtime.default_ulimits",
      value: text,
      remedy: "write name=soft:hard, such as nofile=1024:4096",
    });
  }
  const { name, soft, hard } = limit;
  return {
    type: `RLIMIT_${name.toUpperCase()}`,
    soft: specInteger(soft),
    hard: specInteger(hard),
  };
}
