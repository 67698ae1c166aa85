/**
 * Every configuration key, by table: CRI-O's names, under `[sauropod.*]` or `[crio.*]`.
 *
 * The types of a `Configuration` are derived from these tables, and so are the flags of `serve`, the
 * environment variables, the printed file and the checks. A new key needs one entry here and
 * nothing else.
 *
 * @module
 */
import { sliceCgroup } from "../model/mod.ts";
import {
  duration,
  flag,
  integer,
  type Key,
  later,
  list,
  map,
  noEffect,
  refused,
  text,
} from "./keys.ts";
import {
  absolute,
  absoluteOrEmpty,
  atLeast,
  capability,
  cipherSuite,
  cpuList,
  device,
  each,
  environmentEntry,
  oneOf,
  port,
  portText,
  regularExpression,
  sizeText,
  sysctl,
  timeZone,
  ulimit,
} from "./validators.ts";
import { parseDuration } from "./size.ts";

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

/** `[sauropod.api]` */
export const API = {
  listen: text({
    default: "/var/run/crio/crio.sock",
    ours: "/run/sauropod/sauropod.sock",
    meaning: "Unix socket on which the CRI and the HTTP side interface answer.",
    allowed: "absolute path; the socket gets mode 0660",
    check: absolute,
    flags: ["listen"],
    env: ["CONTAINER_LISTEN"],
  }),
  stream_address: text({
    default: "127.0.0.1",
    meaning: "Address on which exec, attach and port-forward streams are served.",
    allowed: "IP address; any other text means all addresses",
    flags: ["stream-address"],
    env: ["CONTAINER_STREAM_ADDRESS"],
  }),
  stream_port: text({
    default: "0",
    meaning: "Port of the streaming server; 0 takes a free one.",
    allowed: "port number as text",
    check: portText,
    flags: ["stream-port"],
    env: ["CONTAINER_STREAM_PORT"],
  }),
  stream_enable_tls: flag({
    default: false,
    meaning: "Whether the streaming server speaks TLS; needs stream_tls_cert and stream_tls_key.",
    flags: ["stream-enable-tls"],
    env: ["CONTAINER_ENABLE_TLS"],
  }),
  stream_tls_cert: text({
    default: "",
    meaning: "Certificate of the streaming server.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-cert"],
    env: ["CONTAINER_TLS_CERT"],
    reload: "watched",
  }),
  stream_tls_key: text({
    default: "",
    meaning: "Private key of the streaming server.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-key"],
    env: ["CONTAINER_TLS_KEY"],
    reload: "watched",
  }),
  stream_tls_ca: text({
    default: "",
    meaning:
      "Authorities of client certificates; if set, clients of the streaming server need one.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-ca"],
    env: ["CONTAINER_TLS_CA"],
    reload: "watched",
  }),
  stream_idle_timeout: text({
    default: "",
    meaning: "How long an open stream may be idle before it is closed.",
    allowed: "duration such as 4h; empty for 4h, 0 for never",
    check: (value) =>
      value === "" || parseDuration(value) !== undefined
        ? undefined
        : "must be a duration such as 4h",
    flags: ["stream-idle-timeout"],
    env: ["STREAM_IDLE_TIMEOUT"],
  }),
  tls_min_version: text({
    default: "VersionTLS12",
    meaning: "Lowest TLS version of the streaming and metrics servers.",
    allowed: "VersionTLS12, VersionTLS13",
    check: oneOf("VersionTLS12", "VersionTLS13"),
    flags: ["tls-min-version"],
    env: ["CONTAINER_TLS_MIN_VERSION"],
  }),
  tls_cipher_suites: list({
    default: [],
    meaning: "Cipher suites of TLS 1.2.",
    allowed: "Go's names; empty for all that are spoken; no meaning with VersionTLS13",
    check: each(cipherSuite),
    flags: ["tls-cipher-suites"],
    env: ["CONTAINER_TLS_CIPHER_SUITES"],
  }),
  grpc_max_send_msg_size: integer({
    default: 83886080,
    meaning: "Longest answer in bytes.",
    allowed: "0 and below mean the default",
    flags: ["grpc-max-send-msg-size"],
    env: ["CONTAINER_GRPC_MAX_SEND_MSG_SIZE"],
  }),
  grpc_max_recv_msg_size: integer({
    default: 83886080,
    meaning: "Longest request in bytes.",
    allowed: "0 and below mean the default",
    flags: ["grpc-max-recv-msg-size"],
    env: ["CONTAINER_GRPC_MAX_RECV_MSG_SIZE"],
  }),
} as const;

/** `[sauropod.runtime]`, without its tables `runtimes` and `workloads`. */
export const RUNTIME = {
  default_runtime: text({
    default: "crun",
    meaning: "Handler of pods that ask for none.",
    allowed: "name of a runtimes table; empty means crun",
    flags: ["default-runtime"],
    env: ["CONTAINER_DEFAULT_RUNTIME"],
    reload: "sighup",
  }),
  default_ulimits: list({
    default: [],
    meaning: "Resource limits of every container's process.",
    allowed: "name=soft[:hard]; -1 for none",
    check: each(ulimit),
    flags: ["default-ulimits"],
    env: ["CONTAINER_DEFAULT_ULIMITS"],
  }),
  no_pivot: flag({
    default: false,
    meaning: "Whether the runtime moves the root mount where pivot_root cannot be used.",
    flags: ["no-pivot"],
    env: ["CONTAINER_NO_PIVOT"],
  }),
  decryption_keys_path: later(text({
    default: "/etc/crio/keys/",
    ours: "/etc/sauropod/keys/",
    meaning: "Directory of private keys for encrypted images.",
    check: absoluteOrEmpty,
    flags: ["decryption-keys-path"],
    reload: "sighup",
  })),
  additional_artifact_stores: later(list({
    default: [],
    meaning: "Read-only stores of OCI artifacts, asked before the own one.",
    allowed: "absolute paths",
    check: each(absolute),
    flags: ["additional-artifact-stores"],
  })),
  conmon: text({
    default: "",
    meaning: "Monitor program of all handlers.",
    allowed: "absolute path; empty leaves it to monitor_path",
    check: absoluteOrEmpty,
    deprecated: "set monitor_path of the handler",
    flags: ["conmon"],
    env: ["CONTAINER_CONMON"],
  }),
  conmon_cgroup: refused(
    "it is monitor_cgroup of the handler here",
    text({
      default: "",
      meaning: "Cgroup of the monitors.",
      allowed: "pod, a slice, or empty",
      deprecated: "set monitor_cgroup of the handler",
      // CRI-O demands "pod" with cgroupfs, and moves the monitor only when the pod has a CPU set.
      harmless: ["pod", "system.slice"],
      flags: ["conmon-cgroup"],
      env: ["CONTAINER_CONMON_CGROUP"],
    }),
  ),
  conmon_env: list({
    default: [],
    meaning: "Environment of all monitors.",
    allowed: "KEY=VALUE",
    check: each(environmentEntry),
    deprecated: "set monitor_env of the handler",
    flags: ["conmon-env"],
    env: ["CONTAINER_CONMON_ENV"],
  }),
  default_env: list({
    default: [],
    meaning: "Environment of every container; image and request win.",
    allowed: "KEY=VALUE",
    check: each(environmentEntry),
    flags: ["default-env"],
    env: ["CONTAINER_DEFAULT_ENV"],
  }),
  min_injected_gomaxprocs: later(integer({
    default: 0,
    meaning: "Least GOMAXPROCS given to containers without a CPU guarantee; 0 gives none.",
    check: atLeast(0),
    flags: ["min-injected-gomaxprocs"],
    env: ["CONTAINER_INJECT_GOMAXPROCS"],
  })),
  selinux: refused(
    "SELinux labels are not built",
    flag({
      default: false,
      meaning: "Whether pods get SELinux labels.",
      deprecated: "the node's own state decides",
      flags: ["selinux"],
      env: ["CONTAINER_SELINUX"],
    }),
  ),
  seccomp_profile: text({
    default: "",
    meaning: "Seccomp profile of containers that ask for RuntimeDefault.",
    allowed: "absolute path of an existing file; empty for the distribution's or the built-in one",
    check: absoluteOrEmpty,
    flags: ["seccomp-profile"],
    env: ["CONTAINER_SECCOMP_PROFILE"],
    reload: "sighup",
  }),
  privileged_seccomp_profile: text({
    default: "",
    meaning: "Seccomp profile of privileged containers.",
    allowed: "absolute path of an existing file; empty for none",
    check: absoluteOrEmpty,
    flags: ["privileged-seccomp-profile"],
    env: ["CONTAINER_PRIVILEGED_SECCOMP_PROFILE"],
    reload: "sighup",
  }),
  apparmor_profile: text({
    default: "crio-default",
    meaning: "AppArmor profile of containers that ask for RuntimeDefault or for none.",
    allowed: "name of a loaded profile, or unconfined; crio-default is loaded when it is needed",
    flags: ["apparmor-profile"],
    env: ["CONTAINER_APPARMOR_PROFILE"],
    reload: "sighup",
  }),
  blockio_config_file: refused(
    "block I/O classes are not built",
    text({
      default: "",
      meaning: "Definitions of block I/O classes.",
      check: absoluteOrEmpty,
      flags: ["blockio-config-file"],
      reload: "sighup",
    }),
  ),
  blockio_reload: later(flag({
    default: false,
    meaning: "Whether the block I/O classes are read again for each container.",
    flags: ["blockio-reload"],
    reload: "sighup",
  })),
  irqbalance_config_file: later(text({
    default: "/etc/sysconfig/irqbalance",
    meaning: "Configuration of irqbalance that interrupt annotations change.",
    flags: ["irqbalance-config-file"],
  })),
  irqbalance_config_restore_file: later(text({
    default: "/etc/sysconfig/orig_irq_banned_cpus",
    meaning: "File with the interrupt mask restored at start, or disable.",
    harmless: ["disable"],
    flags: ["irqbalance-config-restore-file"],
  })),
  rdt_config_file: refused(
    "resctrl classes are not built",
    text({
      default: "",
      meaning: "Definitions of resctrl classes.",
      check: absoluteOrEmpty,
      flags: ["rdt-config-file"],
      reload: "sighup",
    }),
  ),
  cgroup_manager: text({
    default: "systemd",
    meaning: "Who makes the cgroups; the kubelet is told.",
    allowed: "systemd or cgroupfs; left out, systemd where it runs the node",
    check: oneOf("systemd", "cgroupfs"),
    flags: ["cgroup-manager"],
    env: ["CONTAINER_CGROUP_MANAGER"],
  }),
  default_capabilities: list({
    default: [
      "CHOWN",
      "DAC_OVERRIDE",
      "FSETID",
      "FOWNER",
      "SETGID",
      "SETUID",
      "SETPCAP",
      "NET_BIND_SERVICE",
      "KILL",
    ],
    meaning: "Capabilities of containers that are not privileged.",
    allowed: "names with or without CAP_, any case",
    check: each(capability),
    flags: ["default-capabilities"],
    env: ["CONTAINER_DEFAULT_CAPABILITIES"],
  }),
  add_inheritable_capabilities: flag({
    default: false,
    meaning: "Whether capabilities are inheritable too.",
    flags: ["add-inheritable-capabilities"],
    env: ["CONTAINER_ADD_INHERITABLE_CAPABILITIES"],
  }),
  default_sysctls: list({
    default: [],
    meaning: "Sysctls of every pod, where its namespaces are its own.",
    allowed: "key=value",
    check: each(sysctl),
    flags: ["default-sysctls"],
    env: ["CONTAINER_DEFAULT_SYSCTLS"],
  }),
  allowed_devices: list({
    default: ["/dev/fuse", "/dev/net/tun"],
    meaning: "Devices that the devices annotation may ask for.",
    allowed: "absolute paths",
    check: each(absolute),
    flags: ["allowed-devices"],
    env: ["CONTAINER_ALLOWED_DEVICES"],
  }),
  additional_devices: list({
    default: [],
    meaning: "Devices of every container.",
    allowed: "source[:destination][:mode]",
    check: each(device),
    flags: ["additional-devices"],
    env: ["CONTAINER_ADDITIONAL_DEVICES"],
  }),
  cdi_spec_dirs: later(list({
    default: ["/etc/cdi", "/var/run/cdi"],
    meaning: "Directories of CDI device specifications.",
    check: each(absolute),
    flags: ["cdi-spec-dirs"],
    env: ["CONTAINER_CDI_SPEC_DIRS"],
    reload: "sighup",
  })),
  device_ownership_from_security_context: flag({
    default: false,
    meaning: "Whether devices belong to the user that the container runs as.",
    flags: ["device-ownership-from-security-context"],
  }),
  hooks_dir: later(list({
    default: ["/usr/share/containers/oci/hooks.d"],
    meaning: "Directories of OCI hook definitions.",
    allowed: "absolute paths; later ones win",
    check: each(absolute),
    flags: ["hooks-dir"],
    env: ["CONTAINER_HOOKS_DIR"],
    reload: "watched",
  })),
  default_mounts_file: text({
    default: "",
    meaning: "File that lists files and directories of which every container gets a copy.",
    allowed: "absolute path; empty for mounts.conf in /etc/containers or /usr/share/containers",
    check: absoluteOrEmpty,
    flags: ["default-mounts-file"],
    env: ["CONTAINER_DEFAULT_MOUNTS_FILE"],
  }),
  pids_limit: integer({
    default: -1,
    meaning: "Most processes of a container; -1 for no limit.",
    deprecated: "set podPidsLimit of the kubelet",
    flags: ["pids-limit"],
    env: ["CONTAINER_PIDS_LIMIT"],
  }),
  log_filter: text({
    default: "",
    meaning: "Expression that a message of the server's log has to match.",
    allowed: "regular expression; empty lets everything pass",
    check: regularExpression,
    flags: ["log-filter"],
    env: ["CONTAINER_LOG_FILTER"],
    reload: "sighup",
  }),
  log_level: text({
    default: "info",
    meaning: "How much the server and its monitors log.",
    allowed: "trace, debug, info, warn, error, fatal, panic",
    check: oneOf("trace", "debug", "info", "warn", "error", "fatal", "panic"),
    flags: ["log-level"],
    env: ["CONTAINER_LOG_LEVEL"],
    reload: "sighup",
  }),
  log_size_max: integer({
    default: -1,
    meaning: "Bytes after which the monitor cuts a container's log; negative for never.",
    allowed: "negative, or at least 8192",
    check: (bytes) => bytes < 0 || bytes >= 8192 ? undefined : "must be negative or at least 8192",
    deprecated: "set containerLogMaxSize of the kubelet",
    flags: ["log-size-max"],
    env: ["CONTAINER_LOG_SIZE_MAX"],
  }),
  log_to_journald: later(flag({
    default: false,
    meaning: "Whether container output goes to the journal too.",
    flags: ["log-journald"],
    env: ["CONTAINER_LOG_JOURNALD"],
  })),
  container_exits_dir: text({
    default: "/var/run/crio/exits",
    ours: "/run/sauropod/exits",
    meaning: "Directory into which monitors write the exit codes.",
    allowed: "absolute path",
    check: absolute,
    flags: ["container-exits-dir"],
    env: ["CONTAINER_EXITS_DIR"],
  }),
  container_attach_socket_dir: text({
    default: "/var/run/crio",
    ours: "/run/sauropod/attach",
    meaning: "Directory of the monitors' attach sockets.",
    allowed: "absolute path",
    check: absolute,
    flags: ["container-attach-socket-dir"],
    env: ["CONTAINER_ATTACH_SOCKET_DIR"],
  }),
  bind_mount_prefix: refused(
    "mount sources are taken as they are",
    text({
      default: "",
      meaning: "Path put before the source of every mount.",
      check: absoluteOrEmpty,
      flags: ["bind-mount-prefix"],
      env: ["CONTAINER_BIND_MOUNT_PREFIX"],
    }),
  ),
  read_only: flag({
    default: false,
    meaning:
      "Whether all root file systems are read-only, with a tmpfs on /run, /tmp and /var/tmp.",
    flags: ["read-only"],
    env: ["CONTAINER_READ_ONLY"],
  }),
  uid_mappings: refused(
    "user namespaces are not built",
    text({
      default: "",
      meaning: "User ids of the default user namespace.",
      allowed: "container:host:size[,...]",
      deprecated: "use Kubernetes user namespaces",
      flags: ["uid-mappings"],
      env: ["CONTAINER_UID_MAPPINGS"],
    }),
  ),
  gid_mappings: refused(
    "user namespaces are not built",
    text({
      default: "",
      meaning: "Group ids of the default user namespace.",
      allowed: "container:host:size[,...]",
      deprecated: "use Kubernetes user namespaces",
      flags: ["gid-mappings"],
      env: ["CONTAINER_GID_MAPPINGS"],
    }),
  ),
  minimum_mappable_uid: refused(
    "user namespaces are not built",
    integer({
      default: -1,
      meaning: "Lowest host user id that a mapping may use.",
      deprecated: "use Kubernetes user namespaces",
      flags: ["minimum-mappable-uid"],
      env: ["CONTAINER_MINIMUM_MAPPABLE_UID"],
    }),
  ),
  minimum_mappable_gid: refused(
    "user namespaces are not built",
    integer({
      default: -1,
      meaning: "Lowest host group id that a mapping may use.",
      deprecated: "use Kubernetes user namespaces",
      flags: ["minimum-mappable-gid"],
      env: ["CONTAINER_MINIMUM_MAPPABLE_GID"],
    }),
  ),
  ctr_stop_timeout: integer({
    default: 30,
    meaning: "Seconds after which a stop that was not obeyed counts as failed.",
    allowed: "at least 30; less is raised to 30",
    flags: ["ctr-stop-timeout"],
    env: ["CONTAINER_STOP_TIMEOUT"],
  }),
  drop_infra_ctr: noEffect(
    "a pod has a process of its own only if it shares its PID namespace, whatever this says",
    flag({
      default: true,
      meaning: "Whether pods go without an infra container where they can.",
      flags: ["drop-infra-ctr"],
      env: ["CONTAINER_DROP_INFRA_CTR"],
    }),
  ),
  infra_ctr_cpuset: refused(
    "monitors and plugins are not bound to CPUs",
    text({
      default: "",
      meaning: "CPUs of infra containers, monitors and plugins.",
      allowed: "CPU list",
      check: cpuList,
      flags: ["infra-ctr-cpuset"],
      env: ["CONTAINER_INFRA_CTR_CPUSET"],
    }),
  ),
  shared_cpuset: refused(
    "shared CPUs are not built",
    text({
      default: "",
      meaning: "CPUs that containers with guaranteed ones may share.",
      allowed: "CPU list",
      check: cpuList,
      flags: ["shared-cpuset"],
      env: ["CONTAINER_SHARED_CPUSET"],
    }),
  ),
  namespaces_dir: text({
    default: "/var/run",
    ours: "/run/sauropod/namespaces",
    meaning: "Directory below which the namespaces of pods are pinned.",
    allowed: "absolute path",
    check: absolute,
    flags: ["namespaces-dir"],
    env: ["CONTAINER_NAMESPACES_DIR"],
  }),
  pinns_path: noEffect(
    "namespaces are pinned by the server itself",
    text({
      default: "",
      meaning: "Program that CRI-O pins namespaces with.",
      flags: ["pinns-path"],
      env: ["CONTAINER_PINNS_PATH"],
    }),
  ),
  absent_mount_sources_to_reject: list({
    default: [],
    meaning: "Mount sources that make a container fail when they are missing.",
    allowed: "absolute paths",
    check: each(absolute),
    flags: ["absent-mount-sources-to-reject"],
    env: ["CONTAINER_ABSENT_MOUNT_SOURCES_TO_REJECT"],
  }),
  enable_criu_support: later(flag({
    default: true,
    meaning: "Old switch for checkpoints.",
    deprecated: "set container_level_enabled of the table checkpoint_restore",
    harmless: [false],
    flags: ["enable-criu-support"],
    env: ["CONTAINER_ENABLE_CRIU_SUPPORT"],
  })),
  enable_pod_events: flag({
    default: false,
    meaning: "Whether GetContainerEvents reports what happens.",
    flags: ["enable-pod-events"],
    env: ["ENABLE_POD_EVENTS"],
  }),
  hostnetwork_disable_selinux: noEffect(
    "containers get no SELinux labels",
    flag({
      default: true,
      meaning: "Whether containers in the host's network have no SELinux label.",
      flags: ["hostnetwork-disable-selinux"],
      env: ["CONTAINER_HOSTNETWORK_DISABLE_SELINUX"],
    }),
  ),
  disable_hostport_mapping: flag({
    default: false,
    meaning: "Whether host ports of pods are left unmapped.",
    flags: ["disable-hostport-mapping"],
    env: ["DISABLE_HOSTPORT_MAPPING"],
  }),
  timezone: text({
    default: "",
    meaning: "Time zone of containers; Local for the node's.",
    allowed: "name of the time zone database, Local, or empty for what the image has",
    check: timeZone,
    flags: ["timezone", "tz"],
    env: ["CONTAINER_TIME_ZONE"],
  }),
  separate_pull_cgroup: refused(
    "pulls are not placed in a cgroup of their own",
    text({
      default: "",
      meaning: "Cgroup in which images are pulled.",
      allowed: "pod, a slice, or empty",
      flags: ["separate-pull-cgroup"],
      env: ["PULL_IN_A_CGROUP"],
    }),
  ),
} as const;

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
    allowed: "names of the recognised list; matched as prefixes",
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

/** `[sauropod.checkpoint_restore]` */
export const CHECKPOINT_RESTORE = {
  container_level_enabled: later(text({
    default: "checkpoint_restore",
    meaning: "Whether containers can be checkpointed and restored.",
    allowed: "none, checkpoint_only, checkpoint_restore",
    check: oneOf("none", "checkpoint_only", "checkpoint_restore"),
    harmless: ["none"],
    flags: ["checkpoint-restore-container-level-enabled"],
    env: ["CONTAINER_CHECKPOINT_RESTORE_CONTAINER_LEVEL_ENABLED"],
  })),
} as const;

/** `[sauropod.image]` */
export const IMAGE = {
  default_transport: text({
    default: "docker://",
    meaning: "Transport of image names that have none.",
    allowed: "docker://",
    refuses: (transport) =>
      transport === "docker://" || transport === "" ? undefined : "only docker:// is built",
    flags: ["default-transport"],
    env: ["CONTAINER_DEFAULT_TRANSPORT"],
  }),
  global_auth_file: text({
    default: "",
    meaning: "Registry credentials of pulls that bring none, in the form of auth.json.",
    allowed: "absolute path; empty for /run/containers/0/auth.json and the others of the tools",
    check: absoluteOrEmpty,
    flags: ["global-auth-file"],
    env: ["CONTAINER_GLOBAL_AUTH_FILE"],
  }),
  namespaced_auth_dir: text({
    default: "/etc/crio/auth",
    ours: "/etc/sauropod/auth",
    meaning: "Directory of credentials for one pull of one Kubernetes namespace.",
    allowed: "absolute path",
    check: absolute,
    flags: ["namespaced-auth-dir"],
    env: ["CONTAINER_NAMESPACED_AUTH_DIR"],
  }),
  pause_image: noEffect(
    "pods need no pause image: a shared PID namespace is held by the node's catatonit",
    text({
      default: "registry.k8s.io/pause:3.10.1",
      meaning: "Image of the infra container.",
      flags: ["pause-image"],
      env: ["CONTAINER_PAUSE_IMAGE"],
      reload: "sighup",
    }),
  ),
  pause_image_auth_file: noEffect(
    "pods need no pause image: a shared PID namespace is held by the node's catatonit",
    text({
      default: "",
      meaning: "Credentials for the pause image.",
      check: absoluteOrEmpty,
      flags: ["pause-image-auth-file"],
      env: ["CONTAINER_PAUSE_IMAGE_AUTH_FILE"],
      reload: "sighup",
    }),
  ),
  pause_command: noEffect(
    "pods need no pause image: a shared PID namespace is held by the node's catatonit",
    text({
      default: "/pause",
      meaning: "Command of the infra container.",
      flags: ["pause-command"],
      env: ["CONTAINER_PAUSE_COMMAND"],
      reload: "sighup",
    }),
  ),
  pinned_images: list({
    default: [],
    meaning: "Images that garbage collection leaves alone.",
    allowed: "names, prefix*, *word*",
    flags: ["pinned-images"],
    env: ["CONTAINER_PINNED_IMAGES"],
    reload: "sighup",
  }),
  signature_policy: text({
    default: "",
    meaning: "Which images may be used.",
    allowed: "absolute path; empty for /etc/containers/policy.json",
    check: absoluteOrEmpty,
    flags: ["signature-policy"],
    env: ["CONTAINER_SIGNATURE_POLICY"],
  }),
  signature_policy_dir: text({
    default: "/etc/crio/policies",
    ours: "/etc/sauropod/policies",
    meaning: "Directory of signature policies by Kubernetes namespace, each in place of the other.",
    allowed: "absolute path",
    check: absolute,
    flags: ["signature-policy-dir"],
    env: ["CONTAINER_SIGNATURE_POLICY_DIR"],
  }),
  insecure_registries: noEffect(
    "registries.conf says which registries are insecure",
    list({
      default: [],
      meaning: "Registries spoken to without verified TLS.",
      deprecated: "use registries.conf",
      flags: ["insecure-registry"],
      env: ["CONTAINER_INSECURE_REGISTRY"],
    }),
  ),
  image_volumes: text({
    default: "mkdir",
    meaning: "What becomes of the volumes that an image declares.",
    allowed:
      "mkdir makes them in the root file system, bind gives each an empty folder of its own, " +
      "ignore",
    check: oneOf("mkdir", "bind", "ignore"),
    flags: ["image-volumes"],
    env: ["CONTAINER_IMAGE_VOLUMES"],
  }),
  big_files_temporary_dir: noEffect(
    "layers are unpacked as they arrive",
    text({
      default: "",
      meaning: "Directory for downloads under way.",
      check: absoluteOrEmpty,
      flags: ["big-files-temporary-dir"],
      env: ["CONTAINER_BIG_FILES_TEMPORARY_DIR"],
    }),
  ),
  auto_reload_registries: flag({
    default: false,
    meaning: "Whether changed registries files count at once; here they are read for each pull.",
    flags: ["auto-reload-registries"],
    env: ["AUTO_RELOAD_REGISTRIES"],
  }),
  pull_progress_timeout: duration({
    default: 0,
    meaning:
      "Time in which a layer that stands still goes to the next mirror or fails; 0: retries.",
    allowed: "duration such as 30s",
    check: atLeast(0),
    flags: ["pull-progress-timeout"],
    env: ["CONTAINER_PULL_PROGRESS_TIMEOUT"],
  }),
  oci_artifact_mount_support: later(flag({
    default: true,
    meaning: "Whether OCI artifacts can be mounted.",
    harmless: [false],
    flags: ["oci-artifact-mount-support"],
    env: ["CONTAINER_OCI_ARTIFACT_SUPPORT"],
  })),
  short_name_mode: text({
    default: "enforcing",
    meaning: "Whether a short name that fits several registries fails or takes the first.",
    allowed: "enforcing, disabled",
    check: oneOf("", "enforcing", "disabled"),
    flags: ["short-name-mode"],
    env: ["CONTAINER_SHORT_NAME_MODE"],
  }),
} as const;

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

/** `[sauropod.nri]` */
export const NRI = {
  enable_nri: later(flag({
    default: true,
    meaning: "Whether NRI plugins may adjust containers.",
    harmless: [false],
    flags: ["enable-nri"],
  })),
  nri_listen: later(text({
    default: "/var/run/nri/nri.sock",
    meaning: "Socket on which NRI plugins register.",
    check: absolute,
    flags: ["nri-listen"],
  })),
  nri_plugin_dir: later(text({
    default: "/opt/nri/plugins",
    meaning: "Directory of NRI plugins that are started.",
    check: absolute,
    flags: ["nri-plugin-dir"],
  })),
  nri_plugin_config_dir: later(text({
    default: "/etc/nri/conf.d",
    meaning: "Directory of the NRI plugins' configurations.",
    check: absolute,
    flags: ["nri-plugin-config-dir"],
  })),
  nri_plugin_registration_timeout: later(duration({
    default: 5_000,
    meaning: "Time that a plugin has to register.",
    check: atLeast(0),
    flags: ["nri-plugin-registration-timeout"],
  })),
  nri_plugin_request_timeout: later(duration({
    default: 2_000,
    meaning: "Time that a plugin has to answer.",
    check: atLeast(0),
    flags: ["nri-plugin-request-timeout"],
  })),
  nri_disable_connections: later(flag({
    default: false,
    meaning: "Whether plugins from outside are turned away.",
    harmless: [true],
    flags: ["nri-disable-connections"],
  })),
} as const;

/** `[sauropod.nri.default_validator]` */
export const NRI_VALIDATOR = {
  nri_enable_default_validator: later(flag({
    default: false,
    meaning: "Whether what plugins adjust is checked by the built-in validator.",
    flags: ["nri-enable-default-validator"],
  })),
  nri_validator_reject_oci_hook_adjustment: later(flag({
    default: false,
    meaning: "Whether plugins may not add hooks.",
    flags: ["nri-validator-reject-oci-hook-adjustment"],
  })),
  nri_validator_reject_runtime_default_seccomp_adjustment: later(flag({
    default: false,
    meaning: "Whether plugins may not change the RuntimeDefault seccomp profile.",
    flags: ["nri-validator-reject-runtime-default-seccomp-adjustment"],
  })),
  nri_validator_reject_unconfined_seccomp_adjustment: later(flag({
    default: false,
    meaning: "Whether plugins may not change an unconfined seccomp profile.",
    flags: ["nri-validator-reject-unconfined-seccomp-adjustment"],
  })),
  nri_validator_reject_custom_seccomp_adjustment: later(flag({
    default: false,
    meaning: "Whether plugins may not change a seccomp profile of the node.",
    flags: ["nri-validator-reject-custom-seccomp-adjustment"],
  })),
  nri_validator_reject_namespace_adjustment: later(flag({
    default: false,
    meaning: "Whether plugins may not change namespaces.",
    flags: ["nri-validator-reject-namespace-adjustment"],
  })),
  nri_validator_required_plugins: refused(
    "without NRI no plugin can be present",
    list({
      default: [],
      meaning: "Plugins without which no container is made.",
      flags: ["nri-validator-required-plugins"],
    }),
  ),
  nri_validator_tolerate_missing_plugins_annotation: later(text({
    default: "",
    meaning: "Annotation of pods that do without a required plugin.",
    flags: ["nri-validator-tolerate-missing-plugins-annotation"],
  })),
} as const;

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
