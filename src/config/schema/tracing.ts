import { flag, integer, later, text } from "../keys.ts";

/** `[sauropod.tracing]` */
export const TRACING = {
  enable_tracing: later(flag({
    default: false,
    meaning: "Whether traces are sent to a collector.",
    flags: ["enable-tracing"],
    env: ["CONTAINER_ENABLE_TRACING"],
  })),
  tracing_endpoint: later(text({
    default: "127.0.0.1:4317",
    meaning: "Address of the collector.",
    flags: ["tracing-endpoint"],
    env: ["CONTAINER_TRACING_ENDPOINT"],
  })),
  tracing_sampling_rate_per_million: later(integer({
    default: 0,
    meaning: "How many of a million operations are traced.",
    check: (rate) => rate >= 0 && rate <= 1_000_000 ? undefined : "must be between 0 and 1000000",
    flags: ["tracing-sampling-rate-per-million"],
    env: ["CONTAINER_TRACING_SAMPLING_RATE_PER_MILLION"],
  })),
} as const;
