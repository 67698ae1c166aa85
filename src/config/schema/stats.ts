import { integer, later, list, noEffect } from "../keys.ts";
import { atLeast, each, oneOf } from "../validators.ts";

/** `[sauropod.stats]` */
export const STATS = {
  stats_collection_period: noEffect(
    "it was renamed",
    integer({
      default: 0,
      meaning: "Old name of collection_period.",
      deprecated: "set collection_period",
      flags: ["stats-collection-period"],
      env: ["CONTAINER_STATS_COLLECTION_PERIOD"],
    }),
  ),
  collection_period: later(integer({
    default: 0,
    meaning: "Seconds between collections of statistics; 0 collects on demand.",
    check: atLeast(0),
    flags: ["collection-period"],
    env: ["COLLECTION_PERIOD"],
  })),
  included_pod_metrics: later(list({
    default: [],
    meaning: "Families of pod metrics.",
    allowed: "all, or of: cpu disk diskIO hugetlb memory network oom process spec pressure",
    check: each(oneOf(
      "all",
      "cpu",
      "disk",
      "diskIO",
      "hugetlb",
      "memory",
      "network",
      "oom",
      "process",
      "spec",
      "pressure",
    )),
    flags: ["included-pod-metrics"],
    env: ["CONTAINER_INCLUDED_POD_METRICS", "CONTAINER_INCLUDED_POD_METRCIS"],
  })),
} as const;
