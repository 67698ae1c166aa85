/**
 * Fits what was configured to what is built and to the node: resolves programs, raises values to
 * their least, and says which keys are not in effect or stop the start.
 *
 * @module
 */
import { shown } from "../errors/mod.ts";
import { sameValue } from "./_values.ts";
import {
  builtInHandler,
  type Configuration,
  type HandlerConfiguration,
  handlerDefaults,
} from "./configuration.ts";
import type { Key, KeyValue } from "./keys.ts";
import {
  allKeys,
  hasDefault,
  type MergedConfiguration,
  type Notice,
  type Source,
  valueAt,
} from "./merged.ts";
import type { NodeFacts } from "./node_facts.ts";
import type { KeyTable } from "./schema.ts";
import { API } from "./schema/api.ts";
import { HANDLER } from "./schema/runtime_handler.ts";

export interface AdaptedConfiguration {
  readonly configuration: Configuration;
  readonly notices: readonly Notice[];
  readonly sources: ReadonlyMap<string, Source>;
}

/** Never throws; what stops the start is a notice of level `error`. */
export async function adapt(
  merged: MergedConfiguration,
  node: NodeFacts,
): Promise<AdaptedConfiguration> {
  const notices: Notice[] = [...judged(merged)];
  const sources = new Map(merged.sources);
  const { configuration } = merged;
  const runtime = await runtimeOf(merged, node, notices, sources);
  const adapted: Configuration = {
    ...configuration,
    base: {
      ...configuration.base,
      storage_driver: configuration.base.storage_driver || "overlay",
    },
    api: {
      ...configuration.api,
      grpc_max_send_msg_size: positiveOr(configuration.api, "grpc_max_send_msg_size"),
      grpc_max_recv_msg_size: positiveOr(configuration.api, "grpc_max_recv_msg_size"),
    },
    runtime,
    network: networkOf(configuration),
  };
  notices.push(...await filesThatWouldApply(adapted, node));
  return { configuration: adapted, notices, sources };
}

/** What the schema says of each value that is not the default. */
export function* judged(merged: MergedConfiguration): Generator<Notice> {
  for (const { path, key } of allKeys()) {
    const value = valueAt(merged.configuration, path);
    if (hasDefault(key, value, merged.flavour)) continue;
    const notice = judge(path, key, value, merged.sources.get(path));
    if (notice !== undefined) yield notice;
    if (key.deprecated !== undefined) {
      yield {
        level: "warning",
        key: path,
        message: `${path} is deprecated: ${key.deprecated}`,
      };
    }
  }
  for (const name of Object.keys(merged.configuration.runtime.workloads)) {
    yield {
      level: "error",
      key: `runtime.workloads.${name}`,
      message: `runtime.workloads.${name} cannot be honoured: workloads are not built`,
    };
  }
}

function judge(
  path: string,
  key: Key,
  value: KeyValue,
  source: Source | undefined,
): Notice | undefined {
  const stated = `${path} = ${shownValue(value)}${source === undefined ? "" : ` (${source.name})`}`;
  const wrong = key.check?.(value);
  if (wrong !== undefined) {
    return { level: "error", key: path, message: `${stated}: the value ${wrong}` };
  }
  const reason = key.refuses?.(value);
  if (reason !== undefined) {
    return { level: "error", key: path, message: `${stated} cannot be honoured: ${reason}` };
  }
  if (key.harmless?.some((harmless) => sameValue(harmless, value)) === true) return undefined;
  switch (key.standing) {
    case "effective":
      return undefined;
    case "later":
      return { level: "warning", key: path, message: `${stated} is accepted, not in effect yet` };
    case "noEffect":
      return { level: "warning", key: path, message: `${stated} has no effect: ${key.because}` };
    case "refused":
      return {
        level: "error",
        key: path,
        message: `${stated} cannot be honoured: ${key.because}`,
      };
    default:
      return key.standing satisfies never;
  }
}

function shownValue(value: KeyValue): string {
  if (typeof value === "string") return shown(value);
  if (typeof value !== "object") return String(value);
  const text = JSON.stringify(value);
  return text.length > 128 ? `${text.slice(0, 125)}...` : text;
}

type SizeKey = "grpc_max_send_msg_size" | "grpc_max_recv_msg_size";

function positiveOr(api: Configuration["api"], name: SizeKey): number {
  return api[name] > 0 ? api[name] : API[name].default;
}

function networkOf({ network }: Configuration): Configuration["network"] {
  const { plugin_dir: extra, plugin_dirs: directories } = network;
  return extra === "" || directories.includes(extra)
    ? network
    : { ...network, plugin_dirs: [...directories, extra] };
}

const LEAST_STOP_TIMEOUT_S = 30;

async function runtimeOf(
  merged: MergedConfiguration,
  node: NodeFacts,
  notices: Notice[],
  sources: Map<string, Source>,
): Promise<Configuration["runtime"]> {
  const { runtime } = merged.configuration;
  const cgroupManager = await cgroupManagerOf(merged, node, notices, sources);
  const { defaultRuntime, runtimes } = await handlersOf(merged, { node, cgroupManager }, notices);
  if (defaultRuntime !== runtime.default_runtime) {
    sources.set("runtime.default_runtime", { kind: "node", name: "crun is not on this node" });
  }
  if (runtime.ctr_stop_timeout < LEAST_STOP_TIMEOUT_S) {
    notices.push({
      level: "warning",
      key: "runtime.ctr_stop_timeout",
      message: `runtime.ctr_stop_timeout is raised from ${runtime.ctr_stop_timeout} to ` +
        `${LEAST_STOP_TIMEOUT_S} seconds`,
    });
  }
  return {
    ...runtime,
    default_runtime: defaultRuntime,
    runtimes,
    cgroup_manager: cgroupManager,
    ctr_stop_timeout: Math.max(runtime.ctr_stop_timeout, LEAST_STOP_TIMEOUT_S),
  };
}

/** systemd unless cgroupfs is asked for, as CRI-O does; cgroupfs where systemd does not run the node. */
async function cgroupManagerOf(
  { configuration: { runtime } }: MergedConfiguration,
  node: NodeFacts,
  notices: Notice[],
  sources: Map<string, Source>,
): Promise<string> {
  const key = "runtime.cgroup_manager";
  if (runtime.cgroup_manager !== "systemd" || await node.hasSystemd()) {
    return runtime.cgroup_manager;
  }
  const source = sources.get(key);
  if (source !== undefined) {
    notices.push({
      level: "error",
      key,
      message:
        `${key} = "systemd" (${source.name}) cannot be honoured: systemd does not run this ` +
        "node; set cgroupfs here and in the kubelet",
    });
    return runtime.cgroup_manager;
  }
  sources.set(key, { kind: "node", name: "systemd does not run this node" });
  notices.push({
    level: "warning",
    key,
    message: `${key}: cgroupfs is used, systemd does not run this node; the kubelet needs ` +
      "cgroupDriver: cgroupfs",
  });
  return "cgroupfs";
}

interface HandlerPlace {
  readonly node: NodeFacts;
  readonly cgroupManager: string;
}

interface Handlers {
  readonly defaultRuntime: string;
  readonly runtimes: Readonly<Record<string, HandlerConfiguration>>;
}

/** Handlers that can be used here; one that cannot is dropped, or stops the start if it is the default. */
async function handlersOf(
  merged: MergedConfiguration,
  place: HandlerPlace,
  notices: Notice[],
): Promise<Handlers> {
  const { node } = place;
  const { runtime } = merged.configuration;
  const stated = [...merged.sources.keys()];
  const untouched = !stated.includes("runtime.default_runtime") &&
    !stated.some((key) => key.startsWith("runtime.runtimes."));
  if (untouched && await node.findExecutable("crun") === undefined) {
    notices.push({
      level: "info",
      key: "runtime.default_runtime",
      message: "runtime.default_runtime: runc is used, because crun is not on this node",
    });
    const handler = await usable(merged, "runc", builtInHandler("runc"), place);
    if (typeof handler !== "string") return { defaultRuntime: "runc", runtimes: { runc: handler } };
    notices.push({ level: "error", key: "runtime.runtimes.runc", message: handler });
    return { defaultRuntime: "runc", runtimes: { runc: builtInHandler("runc") } };
  }
  const defaultRuntime = runtime.default_runtime || "crun";
  const runtimes: Record<string, HandlerConfiguration> = {};
  for (const [name, written] of Object.entries(runtime.runtimes)) {
    const handler = await usable(merged, name, written, place);
    const key = `runtime.runtimes.${name}`;
    if (typeof handler !== "string") {
      runtimes[name] = handler;
      notices.push(...handlerWarnings(key, handler, place));
    } else if (name === defaultRuntime) {
      notices.push({ level: "error", key, message: handler });
    } else if (stated.includes(key)) {
      notices.push({ level: "warning", key, message: `${handler}; the handler is left out` });
    }
  }
  if (!Object.hasOwn(runtime.runtimes, defaultRuntime)) {
    notices.push({
      level: "error",
      key: "runtime.default_runtime",
      message: `runtime.default_runtime = ${shown(defaultRuntime)} names no table of ` +
        "runtime.runtimes",
    });
  }
  return { defaultRuntime, runtimes };
}

/** The handler with its programs resolved, or why it cannot be used. */
async function usable(
  merged: MergedConfiguration,
  name: string,
  written: HandlerConfiguration,
  { node, cgroupManager }: HandlerPlace,
): Promise<HandlerConfiguration | string> {
  const { runtime } = merged.configuration;
  const base = runtime.runtimes[runtime.default_runtime || "crun"];
  const handler = written.inherit_default_runtime && base !== undefined
    ? {
      ...written,
      runtime_path: base.runtime_path || await node.findExecutable(runtime.default_runtime) || "",
      runtime_type: base.runtime_type,
      runtime_root: base.runtime_root,
      runtime_config_path: base.runtime_config_path,
    }
    : written;
  const key = `runtime.runtimes.${name}`;
  const refusal = refusalOf(key, handler);
  if (refusal !== undefined) return refusal;
  const monitorCgroup = handler.monitor_cgroup === "system.slice" ? "" : handler.monitor_cgroup;
  if (cgroupManager !== "systemd" && !["", "pod"].includes(monitorCgroup)) {
    return `${key}.monitor_cgroup = ${shown(monitorCgroup)} cannot be honoured: slices need ` +
      'cgroup_manager = "systemd"';
  }
  const runtimePath = handler.runtime_path || await node.findExecutable(name);
  if (runtimePath === undefined || !await node.isExecutable(runtimePath)) {
    return runtimePath === undefined
      ? `${key}: there is no ${shown(name)} in PATH`
      : `${key}.runtime_path = ${shown(runtimePath)} is no program`;
  }
  const monitorPath = runtime.conmon || handler.monitor_path || await node.findExecutable("conmon");
  if (monitorPath === undefined || !await node.isExecutable(monitorPath)) {
    return `${key}: the monitor ${shown(monitorPath ?? "conmon")} is not on this node`;
  }
  const profile = handler.seccomp_profile;
  if (profile !== "" && !await isListed(profile, node)) {
    return `${key}.seccomp_profile: there is no file ${shown(profile)}`;
  }
  const environment = runtime.conmon_env.length > 0 ? runtime.conmon_env : handler.monitor_env;
  return {
    ...handler,
    runtime_path: runtimePath,
    runtime_type: "oci",
    runtime_root: handler.runtime_root || `/run/${name}`,
    monitor_path: monitorPath,
    monitor_env: environment.length > 0 ? environment : builtInHandler("runc").monitor_env,
    monitor_cgroup: monitorCgroup,
    container_min_memory: handler.container_min_memory ||
      builtInHandler(name === "crun" ? "crun" : "runc").container_min_memory,
    container_create_timeout: handler.container_create_timeout === 0
      ? HANDLER.container_create_timeout.default
      : Math.max(handler.container_create_timeout, 30),
  };
}

function refusalOf(path: string, handler: HandlerConfiguration): string | undefined {
  for (const { key, name, value } of statedKeys(handler)) {
    const notice = judge(`${path}.${name}`, key, value, undefined);
    if (notice?.level === "error") return notice.message;
  }
  return undefined;
}

function* handlerWarnings(
  path: string,
  handler: HandlerConfiguration,
  { cgroupManager }: HandlerPlace,
): Generator<Notice> {
  if (cgroupManager !== "systemd" && handler.monitor_cgroup === "pod") {
    yield {
      level: "warning",
      key: `${path}.monitor_cgroup`,
      message: `${path}.monitor_cgroup = "pod" has no effect: with cgroupfs monitors stay in the ` +
        "server's cgroup, so that nothing of them and of a container's start is charged to a pod",
    };
  }
  for (const { key, name, value } of statedKeys(handler)) {
    const notice = judge(`${path}.${name}`, key, value, undefined);
    if (notice?.level === "warning") yield notice;
  }
}

function* statedKeys(
  handler: HandlerConfiguration,
): Generator<{ readonly name: string; readonly key: Key; readonly value: KeyValue }> {
  const defaults: Readonly<Record<string, KeyValue>> = { ...handlerDefaults() };
  const values: Readonly<Record<string, KeyValue>> = { ...handler };
  for (const [name, key] of Object.entries(HANDLER as KeyTable)) {
    const value = values[name]!;
    if (!sameValue(value, defaults[name]!)) yield { name, key, value };
  }
}

/** The time zone database. */
const ZONES = "/usr/share/zoneinfo";

/** True if there is something at an absolute path. */
async function isListed(path: string, node: NodeFacts): Promise<boolean> {
  const slash = path.lastIndexOf("/");
  return (await node.list(path.slice(0, slash) || "/")).includes(path.slice(slash + 1));
}

/** Files on the node that a key points to, and that this runtime does not honour. */
async function filesThatWouldApply(
  { runtime }: Configuration,
  node: NodeFacts,
): Promise<Notice[]> {
  const notices: Notice[] = [];
  // CRI-O falls back to another seccomp profile, which then is not the one that was chosen.
  for (
    const key of ["seccomp_profile", "privileged_seccomp_profile", "default_mounts_file"] as const
  ) {
    const path = runtime[key];
    if (path === "" || await isListed(path, node)) continue;
    notices.push({
      level: "error",
      key: `runtime.${key}`,
      message: `runtime.${key}: there is no file ${shown(path)}`,
    });
  }
  const zone = runtime.timezone;
  if (zone !== "" && zone.toLowerCase() !== "local" && !await isListed(`${ZONES}/${zone}`, node)) {
    notices.push({
      level: "error",
      key: "runtime.timezone",
      message: `runtime.timezone: there is no time zone ${shown(zone)} in ${ZONES}`,
    });
  }
  for (const directory of runtime.hooks_dir) {
    const hooks = (await node.list(directory)).filter((name) => name.endsWith(".json"));
    if (hooks.length === 0) continue;
    notices.push({
      level: "warning",
      key: "runtime.hooks_dir",
      message: `runtime.hooks_dir: the hooks in ${directory} are not run yet: ` +
        hooks.slice(0, 3).join(", "),
    });
  }
  return notices;
}
