import { flag, integer, later, list, text } from "../keys.ts";
import { absoluteOrEmpty, port } from "../validators.ts";

const COLLECTORS = [
  "image_pulls_layer_size",
  "containers_events_dropped_total",
  "containers_oom_total",
  "processes_defunct",
  "operations_total",
  "operations_latency_seconds",
  "operations_latency_seconds_total",
  "operations_errors_total",
  "image_pulls_bytes_total",
  "image_pulls_skipped_bytes_total",
  "image_pulls_failure_total",
  "image_pulls_success_total",
  "image_layer_reuse_total",
  "containers_oom_count_total",
  "containers_seccomp_notifier_count_total",
  "resources_stalled_at_stage",
  "containers_stopped_monitor_count",
  "default_runtime",
] as const;

/** `[sauropod.metrics]` */
export const METRICS = {
  enable_metrics: later(flag({
    default: false,
    meaning: "Whether Prometheus metrics are served.",
    flags: ["enable-metrics"],
    env: ["CONTAINER_ENABLE_METRICS"],
  })),
  metrics_collectors: later(list({
    default: COLLECTORS,
    meaning: "Metrics that are served.",
    flags: ["metrics-collectors"],
    env: ["CONTAINER_METRICS_COLLECTORS"],
  })),
  metrics_host: later(text({
    default: "127.0.0.1",
    meaning: "Address of the metrics server.",
    flags: ["metrics-host"],
    env: ["CONTAINER_METRICS_HOST"],
  })),
  metrics_port: later(integer({
    default: 9090,
    meaning: "Port of the metrics server.",
    check: port,
    flags: ["metrics-port"],
    env: ["CONTAINER_METRICS_PORT"],
  })),
  metrics_socket: later(text({
    default: "",
    meaning: "Unix socket of the metrics server.",
    check: absoluteOrEmpty,
    flags: ["metrics-socket"],
    env: ["CONTAINER_METRICS_SOCKET"],
  })),
  metrics_cert: later(text({
    default: "",
    meaning: "Certificate of the metrics server.",
    check: absoluteOrEmpty,
    flags: ["metrics-cert"],
    env: ["CONTAINER_METRICS_CERT"],
    reload: "watched",
  })),
  metrics_key: later(text({
    default: "",
    meaning: "Private key of the metrics server.",
    check: absoluteOrEmpty,
    flags: ["metrics-key"],
    env: ["CONTAINER_METRICS_KEY"],
    reload: "watched",
  })),
} as const;
