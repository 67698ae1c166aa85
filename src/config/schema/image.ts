import { duration, flag, later, list, noEffect, text } from "../keys.ts";
import { absolute, absoluteOrEmpty, atLeast, oneOf } from "../validators.ts";

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
    allowed: "absolute path; made with mode 0700",
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
