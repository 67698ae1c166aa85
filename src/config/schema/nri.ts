import { duration, flag, later, list, refused, text } from "../keys.ts";
import { absolute, atLeast } from "../validators.ts";

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
