/**
 * The configuration as the composition sees it: one readonly value, typed by the schema.
 *
 * @module
 */
import type { Key, KeyType, KeyValue, ValueOf } from "./keys.ts";
import { type KeyTable, type TablePath, TABLES } from "./schema.ts";
import { HANDLER } from "./schema/runtime_handler.ts";
import type { WORKLOAD, WORKLOAD_RESOURCES } from "./schema/workload.ts";

type Values<Table extends KeyTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Key<infer T extends KeyType> ? ValueOf[T]
    : never;
};

type Fixed<Path extends TablePath> = Values<(typeof TABLES)[Path]>;

/** One entry of `runtime.runtimes`. */
export type HandlerConfiguration = Values<typeof HANDLER>;

/** One entry of `runtime.workloads`. */
export type WorkloadConfiguration = Values<typeof WORKLOAD> & {
  readonly resources: Values<typeof WORKLOAD_RESOURCES>;
};

/**
 * All keys by table, under CRI-O's names so that a key is found everywhere by one search.
 * Durations are milliseconds.
 */
export interface Configuration {
  /** The keys that stand directly below `[sauropod]` or `[crio]`. */
  readonly base: Fixed<"">;
  readonly api: Fixed<"api">;
  readonly runtime: Fixed<"runtime"> & {
    readonly runtimes: Readonly<Record<string, HandlerConfiguration>>;
    readonly workloads: Readonly<Record<string, WorkloadConfiguration>>;
  };
  readonly checkpoint_restore: Fixed<"checkpoint_restore">;
  readonly image: Fixed<"image">;
  readonly network: Fixed<"network">;
  readonly metrics: Fixed<"metrics">;
  readonly tracing: Fixed<"tracing">;
  readonly stats: Fixed<"stats">;
  readonly nri: Fixed<"nri"> & { readonly default_validator: Fixed<"nri.default_validator"> };
}

/** Whose defaults apply to keys that are left out. */
export type Flavour = "sauropod" | "crio";

/** The default of one key. */
export function defaultOf(key: Key, flavour: Flavour): KeyValue {
  return flavour === "sauropod" && key.ours !== undefined ? key.ours : key.default;
}

/** The handler that exists when no file names one. */
export function builtInHandler(name: "crun" | "runc"): HandlerConfiguration {
  return {
    ...handlerDefaults(),
    runtime_root: `/run/${name}`,
    allowed_annotations: ["io.containers.trace-syscall", "devices.crio.io"],
    monitor_env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    container_min_memory: name === "crun" ? "500KiB" : "12MiB",
  };
}

/** An entry of `runtime.runtimes` that says nothing. */
export function handlerDefaults(): HandlerConfiguration {
  return tableDefaults(HANDLER, "crio") as HandlerConfiguration;
}

export function tableDefaults(table: KeyTable, flavour: Flavour): Record<string, KeyValue> {
  return Object.fromEntries(
    Object.entries(table).map(([name, key]) => [name, defaultOf(key, flavour)]),
  );
}

/** A configuration in the making: the fixed tables by path, and the named ones. */
export interface Draft {
  readonly tables: Map<string, Record<string, KeyValue>>;
  runtimes: Record<string, HandlerConfiguration>;
  workloads: Record<string, WorkloadConfiguration>;
}

export function defaultDraft(flavour: Flavour): Draft {
  return {
    tables: new Map(
      Object.entries(TABLES).map(([path, table]) => [path, tableDefaults(table, flavour)]),
    ),
    runtimes: { crun: builtInHandler("crun") },
    workloads: {},
  };
}

/** The finished value of a draft. */
export function finished(draft: Draft): Configuration {
  // The draft's tables were filled from the schema, which is what the types are derived from.
  const table = <T>(path: string): T => ({ ...draft.tables.get(path) }) as T;
  return {
    base: table(""),
    api: table("api"),
    runtime: {
      ...table<Fixed<"runtime">>("runtime"),
      runtimes: { ...draft.runtimes },
      workloads: { ...draft.workloads },
    },
    checkpoint_restore: table("checkpoint_restore"),
    image: table("image"),
    network: table("network"),
    metrics: table("metrics"),
    tracing: table("tracing"),
    stats: table("stats"),
    nri: {
      ...table<Fixed<"nri">>("nri"),
      default_validator: table("nri.default_validator"),
    },
  };
}

/** What applies when nothing is configured at all. */
export function defaultConfiguration(flavour: Flavour = "sauropod"): Configuration {
  return finished(defaultDraft(flavour));
}
