/**
 * Every configuration key: CRI-O's names, under `[sauropod.*]` or `[crio.*]`, a module of `schema/` for
 * each table.
 *
 * The types of a `Configuration` are derived from these tables, and so are the flags of `serve`, the
 * environment variables, the printed file and the checks. A new key needs one entry in its table and
 * nothing else.
 *
 * @module
 */
import type { Key } from "./keys.ts";
import { API } from "./schema/api.ts";
import { BASE } from "./schema/base.ts";
import { CHECKPOINT_RESTORE } from "./schema/checkpoint_restore.ts";
import { IMAGE } from "./schema/image.ts";
import { METRICS } from "./schema/metrics.ts";
import { NETWORK } from "./schema/network.ts";
import { NRI, NRI_VALIDATOR } from "./schema/nri.ts";
import { RUNTIME } from "./schema/runtime.ts";
import { STATS } from "./schema/stats.ts";
import { TRACING } from "./schema/tracing.ts";

export type KeyTable = Readonly<Record<string, Key>>;

/**
 * The fixed tables by their path below `[sauropod]` or `[crio]`; the path of the first is empty.
 * `runtime.runtimes` and `runtime.workloads` hold tables of any name and stand apart.
 */
export const TABLES = {
  "": BASE,
  api: API,
  runtime: RUNTIME,
  checkpoint_restore: CHECKPOINT_RESTORE,
  image: IMAGE,
  network: NETWORK,
  metrics: METRICS,
  tracing: TRACING,
  stats: STATS,
  nri: NRI,
  "nri.default_validator": NRI_VALIDATOR,
} as const;

export type TablePath = keyof typeof TABLES;

/** Paths of tables whose entries have names of the user's choice. */
export const NAMED_TABLES = ["runtime.runtimes", "runtime.workloads"] as const;
