import { integer, list, text } from "../keys.ts";
import { cpuList } from "../validators.ts";

/** `[sauropod.runtime.workloads.NAME]`: none is honoured yet, and each stops the start. */
export const WORKLOAD = {
  activation_annotation: text({ default: "", meaning: "Annotation that makes a pod a member." }),
  annotation_prefix: text({ default: "", meaning: "Prefix of annotations with other resources." }),
  allowed_annotations: list({ default: [], meaning: "Annotations that members may use." }),
} as const;

/** `[sauropod.runtime.workloads.NAME.resources]` */
export const WORKLOAD_RESOURCES = {
  cpushares: integer({ default: 0, meaning: "CPU shares." }),
  cpuquota: integer({ default: 0, meaning: "CPU quota in microseconds." }),
  cpuperiod: integer({ default: 0, meaning: "CPU period in microseconds." }),
  cpuset: text({ default: "", meaning: "CPUs.", allowed: "CPU list", check: cpuList }),
  cpulimit: integer({ default: 0, meaning: "CPU limit in thousandths of a CPU." }),
} as const;
