import { sliceCgroup } from "../../model/mod.ts";
import { flag, integer, list, map, refused, text } from "../keys.ts";
import {
  absoluteOrEmpty,
  atLeast,
  each,
  environmentEntry,
  oneOf,
  sizeText,
} from "../validators.ts";

/** `[sauropod.runtime.runtimes.NAME]`: an entry in a file replaces the whole default entry of that name. */
export const HANDLER = {
  runtime_path: text({
    default: "",
    meaning: "OCI runtime.",
    allowed: "absolute path; empty looks for the handler's name in PATH",
    check: absoluteOrEmpty,
    reload: "sighup",
  }),
  runtime_type: text({
    default: "oci",
    meaning: "How the runtime is driven.",
    allowed: "oci; vm and pod come later",
    check: oneOf("", "oci", "vm", "pod"),
    refuses: (type) => type === "" || type === "oci" ? undefined : `the type ${type} is not built`,
    reload: "sighup",
  }),
  runtime_root: text({
    default: "",
    meaning: "Directory of the runtime's own state.",
    allowed: "absolute path; empty for /run/NAME",
    check: absoluteOrEmpty,
    reload: "sighup",
  }),
  runtime_config_path: refused(
    "VM runtimes are not built",
    text({
      default: "",
      meaning: "Configuration file of a VM runtime.",
      check: absoluteOrEmpty,
      reload: "sighup",
    }),
  ),
  inherit_default_runtime: flag({
    default: false,
    meaning: "Whether path, type, configuration and root come from the default handler.",
    reload: "sighup",
  }),
  privileged_without_host_devices: flag({
    default: false,
    meaning: "Whether privileged containers go without the host's devices.",
    reload: "sighup",
  }),
  allowed_annotations: list({
    default: [],
    meaning: "Annotations that pods of this handler may use.",
    allowed: "names in full: nothing is matched by its beginning",
    reload: "sighup",
  }),
  monitor_path: text({
    default: "",
    meaning: "Monitor program.",
    allowed: "absolute path; empty looks for conmon in PATH",
    check: absoluteOrEmpty,
    reload: "sighup",
  }),
  monitor_cgroup: text({
    default: "",
    meaning: "Cgroup of the monitor.",
    allowed: "pod, a slice, or empty for system.slice; slices need the systemd driver",
    check: (cgroup) =>
      ["", "pod"].includes(cgroup) || sliceCgroup(cgroup) !== undefined
        ? undefined
        : "is neither pod nor the name of a slice",
    reload: "sighup",
  }),
  monitor_exec_cgroup: refused(
    "exec monitors run beside the server",
    text({
      default: "",
      meaning: "Cgroup of the monitor of an exec.",
      allowed: "container or empty",
      check: oneOf("", "container"),
      reload: "sighup",
    }),
  ),
  monitor_env: list({
    default: [],
    meaning: "Environment of monitor and runtime.",
    allowed: "KEY=VALUE",
    check: each(environmentEntry),
    reload: "sighup",
  }),
  platform_runtime_paths: refused(
    "runtimes by platform are not built",
    map({ default: {}, meaning: "Runtimes for images of other platforms.", reload: "sighup" }),
  ),
  runtime_pull_image: refused(
    "VM runtimes are not built",
    flag({ default: false, meaning: "Whether a VM pulls its images itself.", reload: "sighup" }),
  ),
  container_min_memory: text({
    default: "",
    meaning: "Least memory limit that a container may ask for.",
    allowed: "size such as 12MiB; empty for 12MiB, or 500KiB with crun",
    check: sizeText,
    reload: "sighup",
  }),
  no_sync_log: flag({
    default: false,
    meaning: "Whether the monitor leaves the log unsynced when the container ends.",
    reload: "sighup",
  }),
  default_annotations: map({
    default: {},
    meaning: "Annotations of pods that have none of that name.",
    reload: "sighup",
  }),
  stream_websockets: refused(
    "monitors do not serve streams",
    flag({
      default: false,
      meaning: "Whether the monitor serves exec and attach.",
      reload: "sighup",
    }),
  ),
  exec_cpu_affinity: refused(
    "exec processes are not bound to CPUs",
    text({
      default: "",
      meaning: "CPU on which exec processes start.",
      allowed: "first or empty",
      check: oneOf("", "first"),
      reload: "sighup",
    }),
  ),
  seccomp_profile: text({
    default: "",
    meaning: "Seccomp profile of containers of this handler that ask for RuntimeDefault.",
    allowed: "absolute path of an existing file; empty for what the table above says",
    check: absoluteOrEmpty,
    reload: "sighup",
  }),
  container_create_timeout: integer({
    default: 240,
    meaning: "Seconds that creating a container may take.",
    allowed: "0 for 240; at least 30, less is raised to 30",
    check: atLeast(0),
    reload: "sighup",
  }),
} as const;
