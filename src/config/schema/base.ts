import { flag, later, list, noEffect, text } from "../keys.ts";
import { absolute, absoluteOrEmpty } from "../validators.ts";

/** `[sauropod]`, `[crio]` */
export const BASE = {
  root: text({
    default: "/var/lib/containers/storage",
    ours: "/var/lib/sauropod",
    meaning: "Directory that keeps images, layers, container files and the record of what exists.",
    allowed: "absolute path; its layout is ours, next to what CRI-O may keep there",
    check: absolute,
    flags: ["root"],
    env: ["CONTAINER_ROOT"],
  }),
  runroot: text({
    default: "/run/containers/storage",
    ours: "/run/sauropod",
    meaning: "Directory for what need not outlive a reboot, such as bundles.",
    allowed: "absolute path, on a tmpfs",
    check: absolute,
    flags: ["runroot"],
    env: ["CONTAINER_RUNROOT"],
  }),
  imagestore: later(text({
    default: "",
    meaning: "Directory for newly pulled images apart from the root.",
    allowed: "absolute path or empty",
    check: absoluteOrEmpty,
    flags: ["imagestore"],
    env: ["CONTAINER_IMAGESTORE"],
  })),
  storage_driver: text({
    default: "overlay",
    meaning: "How layers become a root file system.",
    allowed: "overlay, or vfs, which copies; empty means overlay",
    refuses: (driver) =>
      ["overlay", "vfs", ""].includes(driver) ? undefined : "only overlay and vfs are built",
    flags: ["storage-driver"],
    env: ["CONTAINER_STORAGE_DRIVER"],
  }),
  storage_option: later(list({
    default: [],
    meaning: "Options of the storage driver.",
    allowed: "key=value; later files add to earlier ones",
    appends: true,
    flags: ["storage-opt"],
    env: ["CONTAINER_STORAGE_OPT"],
  })),
  log_dir: text({
    default: "/var/log/crio/pods",
    ours: "/var/log/sauropod/pods",
    meaning: "Directory for logs of pods whose request names none.",
    allowed: "absolute path; made with mode 0700",
    check: absolute,
    flags: ["log-dir"],
    env: ["CONTAINER_LOG_DIR"],
  }),
  version_file: noEffect(
    "a reboot is recognised by the kernel's boot id",
    text({
      default: "/var/run/crio/version",
      meaning: "File whose absence tells CRI-O that the machine has rebooted.",
      check: absoluteOrEmpty,
      flags: ["version-file"],
      env: ["CONTAINER_VERSION_FILE"],
    }),
  ),
  version_file_persist: noEffect(
    "images are kept over upgrades",
    text({
      default: "",
      meaning: "File that tells CRI-O of an upgrade after which images are wiped.",
      check: absoluteOrEmpty,
      flags: ["version-file-persist"],
      env: ["CONTAINER_VERSION_FILE_PERSIST"],
    }),
  ),
  clean_shutdown_file: noEffect(
    "every start compares the record with the node, after a clean stop too",
    text({
      default: "/var/lib/crio/clean.shutdown",
      meaning: "File that CRI-O writes at an orderly stop.",
      check: absoluteOrEmpty,
      flags: ["clean-shutdown-file"],
      env: ["CONTAINER_CLEAN_SHUTDOWN_FILE"],
    }),
  ),
  internal_wipe: noEffect(
    "nothing is wiped: what a reboot ended is recorded as ended",
    flag({
      default: true,
      meaning: "Whether the server itself wipes containers and images at start.",
      deprecated: "there is nothing to wipe",
      flags: ["internal-wipe"],
      env: ["CONTAINER_INTERNAL_WIPE"],
    }),
  ),
  internal_repair: noEffect(
    "the start is always the recovery",
    flag({
      default: true,
      meaning: "Whether damaged storage is repaired at start.",
      flags: ["internal-repair"],
      env: ["CONTAINER_INTERNAL_REPAIR"],
    }),
  ),
} as const;
