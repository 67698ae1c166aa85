import { duration, list, text } from "../keys.ts";
import { absolute, absoluteOrEmpty, atLeast, each } from "../validators.ts";

/** `[sauropod.network]` */
export const NETWORK = {
  cni_default_network: text({
    default: "",
    meaning: "CNI network of pods; empty for the first one found.",
    flags: ["cni-default-network"],
    env: ["CONTAINER_CNI_DEFAULT_NETWORK"],
  }),
  network_dir: text({
    default: "/etc/cni/net.d/",
    meaning: "Directory of CNI configurations.",
    allowed: "absolute path",
    check: absolute,
    flags: ["cni-config-dir"],
    env: ["CONTAINER_CNI_CONFIG_DIR"],
    reload: "watched",
  }),
  plugin_dirs: list({
    default: ["/opt/cni/bin/"],
    ours: ["/opt/cni/bin/", "/usr/lib/cni/"],
    meaning: "Directories of CNI plugins.",
    allowed: "absolute paths",
    check: each(absolute),
    flags: ["cni-plugin-dir"],
    env: ["CONTAINER_CNI_PLUGIN_DIR"],
  }),
  plugin_dir: text({
    default: "",
    meaning: "One more directory of CNI plugins.",
    check: absoluteOrEmpty,
    deprecated: "set plugin_dirs",
  }),
  cni_status_grace_period: duration({
    default: 0,
    meaning: "How long a failing CNI plugin leaves the node ready.",
    allowed: "duration such as 30s",
    check: atLeast(0),
    flags: ["cni-status-grace-period"],
    env: ["CNI_STATUS_GRACE_PERIOD"],
  }),
} as const;
